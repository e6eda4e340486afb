/*
 * fuzz_decode: ring 0's decoder against Zydis, on bytes that libFuzzer makes up. The first byte chooses the mode.
 *
 * The bytes lie in an allocation of exactly their length, so that the address sanitizer sees a read past the end.
 */
#include <stdio.h>

#include "tests/fuzz/compare_zydis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u32 length = size > 33 ? 32 : (u32)size - 1;
	const char *difference;
	bool known;
	u8 *bytes;

	if (size == 0)
		return 0;
	bytes = malloc(length ? length : 1);
	if (!bytes)
		abort();
	memcpy(bytes, data + 1, length);
	difference = compare_zydis(bytes, length, (enum decode_mode)(data[0] % 3), &known);
	if (difference) {
		fprintf(stderr, "mode %u: %s:", data[0] % 3, difference);
		for (u32 i = 0; i < length; i++)
			fprintf(stderr, " %02x", bytes[i]);
		fprintf(stderr, "\n");
		abort();
	}
	free(bytes);
	return 0;
}
