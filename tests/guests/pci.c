/* pci: configuration space of bus 0 by bytes, words and longs, all saying the same; where no device is, ones. */
#include "lib/guest.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc, FUNCTIONS = 8, DEVICES = 32, HEADER = 0x40, MULTI = 0x80 };
#define ENABLE 0x80000000u

static void at(unsigned device, unsigned function, unsigned reg)
{
	outl(ADDRESS, ENABLE | device << 11 | function << 8 | (reg & 0xfc));
}

static u32 read_long(unsigned d, unsigned f, unsigned reg)
{
	at(d, f, reg);
	return inl(DATA);
}

static bool widths_agree(unsigned d, unsigned f)
{
	bool agree = true;

	for (unsigned reg = 0; reg < HEADER; reg += 4) {
		u32 whole = read_long(d, f, reg), by_words, by_bytes;
		at(d, f, reg);
		by_words = inw(DATA) | (u32)inw(DATA + 2) << 16;
		at(d, f, reg);
		by_bytes = inb(DATA) | (u32)inb(DATA + 1) << 8 | (u32)inb(DATA + 2) << 16 | (u32)inb(DATA + 3) << 24;
		agree = agree && by_words == whole && by_bytes == whole;
	}
	return agree;
}

static bool all_ones(unsigned d, unsigned f)
{
	for (unsigned reg = 0; reg < HEADER; reg += 4)
		if (read_long(d, f, reg) != 0xffffffffu)
			return false;
	at(d, f, 0);
	outl(DATA, 0);
	return inl(DATA) == 0xffffffffu && inb(DATA + 3) == 0xff && inw(DATA) == 0xffff;
}

/* A base register says its size when ones are written, and takes its old value back. */
static unsigned bad_bars(unsigned d, unsigned f)
{
	unsigned bad = 0;
	u32 command = read_long(d, f, 4);

	at(d, f, 4);
	outw(DATA, 0); /* decoding off meanwhile */
	for (unsigned reg = 0x10; reg < 0x28; reg += 4) {
		u32 was = read_long(d, f, reg), sized, mask;
		at(d, f, reg);
		outl(DATA, 0xffffffffu);
		sized = inl(DATA);
		mask = sized & 1 ? sized & ~3u : sized & ~15u;
		outl(DATA, was);
		bad += inl(DATA) != was;
		/* The size is a power of two: only leading ones. */
		bad += (mask | (sized & 1 ? 0xffff0000u : 0)) != 0 && mask != 0 &&
		       ((~(mask | (sized & 1 ? 0xffff0000u : 0)) + 1) & ~(mask | (sized & 1 ? 0xffff0000u : 0))) != 0;
	}
	at(d, f, 4);
	outw(DATA, (u16)command);
	return bad;
}

GUEST(pci)
{
	unsigned present = 0, disagree = 0, ghosts = 0, bars = 0;

	outl(ADDRESS, ENABLE | 0x1234);
	check_equal("the address register reads back", inl(ADDRESS) & 0xfffffffcu, ENABLE | 0x1234);
	outl(ADDRESS, 0);
	check("without its enable bit there is nothing", inl(DATA) == 0xffffffffu || inl(DATA) == 0);
	for (unsigned d = 0; d < DEVICES; d++) {
		u32 header = read_long(d, 0, 0xc);
		for (unsigned f = 0; f < FUNCTIONS; f++) {
			u32 id = read_long(d, f, 0);
			if (f && !(header >> 16 & MULTI))
				break;
			if ((id & 0xffff) == 0xffff) {
				ghosts += !all_ones(d, f);
				continue;
			}
			say("# 00:%02x.%u %04x:%04x class %06x\n", d, f, id & 0xffff, id >> 16, read_long(d, f, 8) >> 8);
			present++;
			disagree += !widths_agree(d, f);
			if (!(read_long(d, f, 0xc) >> 16 & 0x7f))
				bars += bad_bars(d, f);
		}
	}
	check("there is a device", present >= 1);
	check("the first one is a host bridge", read_long(0, 0, 8) >> 16 == 0x0600);
	check_equal("bytes, words and longs agree", disagree, 0);
	check_equal("what is absent is all ones", ghosts, 0);
	check_equal("base registers say sizes and keep their values", bars, 0);
	at(0, 0, 0);
	outl(DATA, 0x12345678);
	check("the host bridge's id is read-only", inl(DATA) != 0x12345678);
}
