/*
 * ioapic: see ioapic.h. Register names are the 82093AA's.
 */
#include "monitor/platform/ioapic.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"

#define IOREGSEL 0x00u
#define IOWIN    0x10u
#define IOEOI    0x40u

#define IOAPICID  0x00u
#define IOAPICVER 0x01u
#define IOAPICARB 0x02u
#define IOREDTBL  0x10u

#define VERSION 0x20u
#define ID_SHIFT 24u
#define ID_MASK  0x0fu

/* A redirection entry. */
#define RED_VECTOR        0x00000000000000ffull
#define RED_DELIVERY      0x0000000000000700ull
#define RED_DELIVERY_SHIFT 8u
#define RED_LOGICAL       0x0000000000000800ull
#define RED_REMOTE_IRR    0x0000000000004000ull
#define RED_LEVEL         0x0000000000008000ull
#define RED_MASKED        0x0000000000010000ull
#define RED_DESTINATION_SHIFT 56u
#define RED_WRITABLE      0xff0000000001afffull
#define DELIVERY_EXTINT   7u

/* An interrupt message. */
#define MSI_ADDRESS       0xfee00000ull
#define MSI_DESTINATION_SHIFT 12u
#define MSI_LOGICAL       0x4ull
#define MSI_REDIRECTION_HINT 0x8ull
#define MSI_LEVEL         0x8000u
#define MSI_ASSERT        0x4000u
#define DELIVERY_LOWEST   1u

void ioapic_init(struct ioapic *a)
{
	*a = (struct ioapic){ 0 };
	for (u32 pin = 0; pin < IOAPIC_PINS; pin++)
		a->redirection[pin] = RED_MASKED;
}

bool ioapic_masked(const struct ioapic *a, u32 pin) { return (a->redirection[pin] & RED_MASKED) != 0; }

static void send(u64 entry)
{
	u32 delivery = (u32)((entry & RED_DELIVERY) >> RED_DELIVERY_SHIFT);
	u64 address = MSI_ADDRESS | (entry >> RED_DESTINATION_SHIFT) << MSI_DESTINATION_SHIFT;
	u32 data = (u32)(entry & (RED_VECTOR | RED_DELIVERY));

	if (delivery == DELIVERY_EXTINT) /* the PIC's request reaches LINT0 by itself */
		return;
	if (entry & RED_LOGICAL)
		address |= MSI_LOGICAL;
	if (delivery == DELIVERY_LOWEST)
		address |= MSI_REDIRECTION_HINT;
	if (entry & RED_LEVEL)
		data |= MSI_LEVEL | MSI_ASSERT;
	ring0_send_msi(address, data);
}

/* Send what the pin has to say, if it may. */
static void serve(struct ioapic *a, u32 pin)
{
	u64 *entry = &a->redirection[pin];

	if ((a->irr & BIT(pin)) == 0 || (*entry & (RED_MASKED | RED_REMOTE_IRR)) != 0)
		return;
	if (*entry & RED_LEVEL)
		*entry |= RED_REMOTE_IRR;
	else
		a->irr &= ~BIT(pin);
	send(*entry);
}

void ioapic_set_pin(struct ioapic *a, u32 pin, bool asserted)
{
	u64 entry = a->redirection[pin];
	bool rose = asserted && (a->lines & BIT(pin)) == 0;

	a->lines = asserted ? a->lines | BIT(pin) : a->lines & ~BIT(pin);
	if (entry & RED_LEVEL)
		a->irr = asserted ? a->irr | BIT(pin) : a->irr & ~BIT(pin);
	else if (rose && (entry & RED_MASKED) == 0)
		a->irr |= BIT(pin);
	serve(a, pin);
}

void ioapic_eoi(struct ioapic *a, u32 vector)
{
	for (u32 pin = 0; pin < IOAPIC_PINS; pin++) {
		u64 *entry = &a->redirection[pin];

		if ((*entry & RED_VECTOR) != vector || (*entry & RED_REMOTE_IRR) == 0)
			continue;
		*entry &= ~RED_REMOTE_IRR;
		serve(a, pin);
	}
}

static u32 read_register(const struct ioapic *a)
{
	u32 pin = (a->select - IOREDTBL) / 2u;

	if (a->select == IOAPICID || a->select == IOAPICARB)
		return (u32)a->id << ID_SHIFT;
	if (a->select == IOAPICVER)
		return VERSION | (IOAPIC_PINS - 1) << 16;
	if (a->select < IOREDTBL || pin >= IOAPIC_PINS)
		return 0;
	return (u32)(a->redirection[pin] >> (a->select % 2u * 32u));
}

static void write_redirection(struct ioapic *a, u32 pin, u32 half, u32 value)
{
	u64 *entry = &a->redirection[pin];
	u64 writable = RED_WRITABLE & (half != 0 ? 0xffffffff00000000ull : 0xffffffffull);
	bool was_level = (*entry & RED_LEVEL) != 0;

	*entry = (*entry & ~writable) | ((u64)value << (half * 32u) & writable);
	if ((*entry & RED_LEVEL) == 0) {
		*entry &= ~RED_REMOTE_IRR; /* how systems clear a stuck one: to edge and back */
		if (was_level)
			a->irr &= ~BIT(pin);
	} else {
		a->irr = (a->irr & ~BIT(pin)) | (a->lines & BIT(pin));
	}
	serve(a, pin);
}

static void write_register(struct ioapic *a, u32 value)
{
	u32 pin = (a->select - IOREDTBL) / 2u;

	if (a->select == IOAPICID)
		a->id = (u8)(value >> ID_SHIFT) & ID_MASK;
	else if (a->select >= IOREDTBL && pin < IOAPIC_PINS)
		write_redirection(a, pin, a->select % 2u, value);
}

/* Registers are 32 bits wide at 16-byte places; other offsets and the upper bytes of wider accesses are nothing. */
u64 ioapic_read(struct ioapic *a, u32 offset, u32 size)
{
	if (offset == IOREGSEL)
		return a->select;
	if (offset == IOWIN)
		return read_register(a) & all_ones(size);
	return 0;
}

void ioapic_write(struct ioapic *a, u32 offset, u32 size, u64 value)
{
	value &= all_ones(size);
	if (offset == IOREGSEL)
		a->select = (u8)value;
	else if (offset == IOWIN)
		write_register(a, (u32)value);
	else if (offset == IOEOI)
		ioapic_eoi(a, value & RED_VECTOR);
}
