/*
 * screen: the log on the display as the firmware left it: VGA's text, or a linear framebuffer in which a bitmap font is drawn.
 *
 * Lines go round: below the last one it goes on at the top, and the line after the newest is blank. Nothing is ever moved or read back: a
 * display's memory is slow, and a line costs the same wherever it stands. During the start and in a panic a line is drawn at once;
 * in between it only goes into a ring, and the operator's turns have screen_step draw it, so many characters at a time, with interrupts
 * let in. Pure, builds hosted.
 */
#ifndef X86_CPU_SCREEN_H
#define X86_CPU_SCREEN_H

#include "abi/types.h"

enum { GLYPH_WIDTH = 8, GLYPH_HEIGHT = 16 };

/*
 * `at` is mapped in every map, uncached. columns, rows: in characters; none: there is no screen. cell_bytes, row_bytes: from one character to the next
 * and to the one below; pitch: from a line of pixels to the next; pixel_bytes: 4 or 3; 0: VGA's text. later: the start is over.
 */
struct screen { u8 *at; u32 columns, rows, cell_bytes, row_bytes, pitch, pixel_bytes; bool later; };
extern struct screen screen;

void screen_add(const char *text, u32 length);
/* Draws so many characters at most; false: all is there. */
bool screen_step(u32 cells);

#endif
