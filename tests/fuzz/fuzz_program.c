/*
 * fuzz_program: the program that `monitor=` names, made up by libFuzzer. The first two bytes say where in its frame it begins, and how many
 * frames there are for it. It is loaded as a plain loader would, refused, or there was no memory.
 */
#include "tests/fuzz/must.h"
#include "tests/unit/program_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	u32 frames = data[1] < 64 ? data[1] : PROGRAM_PAGES;
	const char *why = load(data + 2, size - 2, data[0] * 16u + data[0] % 16u, frames);
	bool good = want(data + 2, size - 2), no_memory = !loaded && strstr(why, "no memory");
	must(!no_memory || !pages_left, "memory was there");
	must(no_memory || loaded == good, "a program is refused, or something else is taken for one");
	must(!loaded || same_pages(), "it is not loaded as it stands in its file");
	return 0;
}
