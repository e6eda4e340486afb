/*
 * pic: see pic.h. Names are the data sheet's.
 */
#include "monitor/platform/pic.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"

#define MASTER 0u
#define SLAVE  1u
#define INPUTS 8u
#define NONE   INPUTS
#define SPURIOUS 7u /* what INTA answers when the request has gone */

#define ICW1 0x10u
#define ICW1_IC4 0x01u
#define ICW1_SNGL 0x02u
#define ICW1_LTIM 0x08u
#define ICW2_BASE 0xf8u
#define ICW4_AEOI 0x02u
#define ICW4_SFNM 0x10u
#define OCW3 0x08u
#define OCW3_RIS 0x01u
#define OCW3_RR 0x02u
#define OCW3_POLL 0x04u
#define OCW3_SMM 0x20u
#define OCW3_ESMM 0x40u
#define POLL_INT 0x80u

/* Lines of a PC that cannot be level-triggered: timer, keyboard, cascade; RTC, coprocessor. */
static const u8 elcr_mask[2] = { 0xf8, 0xde };

/* The input of highest priority among `set`, or NONE. Priority falls from lowest + 1 round to lowest. */
static u32 highest(const struct pic_chip *c, u32 set)
{
	for (u32 i = 1; set != 0 && i <= INPUTS; i++) {
		u32 input = (c->lowest + i) % INPUTS;

		if (set & BIT(input))
			return input;
	}
	return NONE;
}

static u32 rank(const struct pic_chip *c, u32 input) { return (input + INPUTS - c->lowest - 1) % INPUTS; }

/* The input that this chip requests, or NONE. */
static u32 requested(const struct pic_chip *c, bool is_master)
{
	u32 waiting = c->irr & ~(u32)c->imr, blocking = c->isr, input, serving;

	if (waiting == 0 || c->init_step != 0)
		return NONE;
	if (c->special_mask) /* in service blocks itself only */
		return highest(c, waiting & ~blocking);
	if (is_master && c->special_nested)
		blocking &= ~BIT(PIC_CASCADE);
	input = highest(c, waiting);
	serving = highest(c, blocking);
	return serving == NONE || rank(c, input) < rank(c, serving) ? input : NONE;
}

static void set_input(struct pic_chip *c, u32 input, bool level)
{
	u8 bit = (u8)BIT(input);
	bool is_level = c->level_all || (c->elcr & bit) != 0;

	if (level && (is_level || (c->lines & bit) == 0))
		c->irr |= bit;
	if (!level) /* an edge that is withdrawn before INTA is no request either */
		c->irr &= (u8)~bit;
	c->lines = (u8)(level ? c->lines | bit : c->lines & ~bit);
}

/* The slave's INTR is the master's input 2. */
static void cascade(struct pic *p)
{
	set_input(&p->chip[MASTER], PIC_CASCADE, requested(&p->chip[SLAVE], false) != NONE);
}

/* Which line the pair would give at INTA, PIC_LINES for none. */
static u32 pending_line(struct pic *p)
{
	u32 input, slave;

	cascade(p);
	input = requested(&p->chip[MASTER], true);
	if (input == NONE)
		return PIC_LINES;
	if (input != PIC_CASCADE)
		return input;
	slave = requested(&p->chip[SLAVE], false);
	return INPUTS + (slave != NONE ? slave : SPURIOUS);
}

static u32 line_vector(const struct pic *p, u32 line)
{
	return p->chip[line / INPUTS].vector_base | line % INPUTS;
}

static void publish(struct pic *p)
{
	bool asserted;
	u32 line, vector;

	if (p->published && !p->taker_stopped)
		return;
	line = pending_line(p);
	asserted = line < PIC_LINES;
	vector = asserted ? line_vector(p, line) : 0;
	if (asserted == p->published && (!asserted || (line == p->published_line && vector == p->published_vector)))
		return;
	p->published = asserted;
	p->published_line = line;
	p->published_vector = vector;
	ring0_pic_line(asserted, vector);
}

void pic_init(struct pic *p)
{
	*p = (struct pic){ 0 };
	for (u32 i = 0; i < ARRAY_SIZE(p->chip); i++) {
		p->chip[i].lowest = INPUTS - 1;
		p->chip[i].imr = 0xff;
		p->chip[i].vector_base = i == MASTER ? 0x08 : 0x70; /* as a PC's firmware leaves them */
	}
}

void pic_set_line(struct pic *p, u32 line, bool level)
{
	set_input(&p->chip[line / INPUTS], line % INPUTS, level);
	cascade(p);
	publish(p);
}

bool pic_masked(const struct pic *p, u32 line)
{
	if (line >= INPUTS && (p->chip[MASTER].imr & BIT(PIC_CASCADE)) != 0)
		return true;
	return (p->chip[line / INPUTS].imr & BIT(line % INPUTS)) != 0;
}

/* INTA for one input: into service, or done with it at once under automatic EOI. */
static void serve(struct pic_chip *c, u32 input)
{
	u8 bit = (u8)BIT(input);

	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_auto)
		c->lowest = (u8)input;
	if (!c->level_all && (c->elcr & bit) == 0)
		c->irr &= (u8)~bit;
}

void pic_acknowledge(struct pic *p)
{
	u32 line = p->published_line;

	if (!p->published)
		return;
	p->published = false;
	if (line >= INPUTS) {
		serve(&p->chip[SLAVE], line % INPUTS);
		serve(&p->chip[MASTER], PIC_CASCADE);
		p->chip[MASTER].lines &= (u8)~BIT(PIC_CASCADE); /* the slave's next request is a new edge */
	} else {
		serve(&p->chip[MASTER], line);
	}
	publish(p);
}

static void write_icw1(struct pic_chip *c, u8 value)
{
	u8 lines = c->lines, elcr = c->elcr, base = c->vector_base;

	*c = (struct pic_chip){ .lines = lines, .elcr = elcr, .vector_base = base, .lowest = INPUTS - 1 };
	c->init_step = 2;
	c->needs_icw4 = (value & ICW1_IC4) != 0;
	c->single = (value & ICW1_SNGL) != 0;
	c->level_all = (value & ICW1_LTIM) != 0;
	c->irr = (u8)(lines & (c->level_all ? 0xff : elcr)); /* the edge sense is cleared: an edge must come anew */
}

static void write_icw2_to_4(struct pic_chip *c, u8 value)
{
	u32 step = c->init_step;

	if (step == 2) {
		c->vector_base = value & ICW2_BASE;
		c->init_step = (u8)(!c->single ? 3 : c->needs_icw4 ? 4 : 0);
	} else if (step == 3) {
		c->init_step = c->needs_icw4 ? 4 : 0;
	} else {
		c->auto_eoi = (value & ICW4_AEOI) != 0;
		c->special_nested = (value & ICW4_SFNM) != 0;
		c->init_step = 0;
	}
}

/* OCW2: R, SL, EOI in bits 7 to 5. */
static void write_ocw2(struct pic_chip *c, u8 value)
{
	enum { ROTATE_AUTO_CLEAR, EOI, NOTHING, EOI_SPECIFIC, ROTATE_AUTO_SET, EOI_ROTATE, SET_PRIORITY, EOI_SPECIFIC_ROTATE };
	u32 command = value >> 5, input = value % INPUTS;

	switch (command) {
	case ROTATE_AUTO_CLEAR:
	case ROTATE_AUTO_SET:
		c->rotate_auto = command == ROTATE_AUTO_SET;
		break;
	case SET_PRIORITY:
		c->lowest = (u8)input;
		break;
	case EOI:
	case EOI_ROTATE:
		input = highest(c, c->special_mask ? c->isr & (u8)~c->imr : c->isr); /* of what is masked only by name then */
		if (input == NONE)
			break;
		/* fall through */
	case EOI_SPECIFIC:
	case EOI_SPECIFIC_ROTATE:
		c->isr &= (u8)~BIT(input);
		if (command == EOI_ROTATE || command == EOI_SPECIFIC_ROTATE)
			c->lowest = (u8)input;
		break;
	default: /* 010b: no operation */
		break;
	}
}

static void write_ocw3(struct pic_chip *c, u8 value)
{
	if (value & OCW3_ESMM)
		c->special_mask = (value & OCW3_SMM) != 0;
	c->poll = (value & OCW3_POLL) != 0;
	if (value & OCW3_RR)
		c->read_isr = (value & OCW3_RIS) != 0;
}

void pic_write(struct pic *p, u32 chip, u32 offset, u8 value)
{
	struct pic_chip *c = &p->chip[chip];

	if (offset == 0 && (value & ICW1))
		write_icw1(c, value);
	else if (offset == 0 && (value & OCW3))
		write_ocw3(c, value);
	else if (offset == 0)
		write_ocw2(c, value);
	else if (c->init_step != 0)
		write_icw2_to_4(c, value);
	else
		c->imr = value;
	publish(p);
}

/* The poll command: the next read is an INTA of this chip alone. */
static u32 poll(struct pic *p, u32 chip)
{
	struct pic_chip *c = &p->chip[chip];
	u32 input = requested(c, chip == MASTER);

	c->poll = false;
	if (input == NONE)
		return 0;
	serve(c, input);
	publish(p);
	return POLL_INT | input;
}

u32 pic_read(struct pic *p, u32 chip, u32 offset)
{
	struct pic_chip *c = &p->chip[chip];

	if (c->poll)
		return poll(p, chip);
	if (offset == 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

u32 pic_elcr_read(struct pic *p, u32 chip) { return p->chip[chip].elcr; }

void pic_elcr_write(struct pic *p, u32 chip, u8 value)
{
	struct pic_chip *c = &p->chip[chip];

	c->elcr = value & elcr_mask[chip];
	c->irr |= c->lines & c->elcr; /* a line that is already high is a request now */
	publish(p);
}
