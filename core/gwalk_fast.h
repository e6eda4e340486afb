/*
 * gwalk_fast: the walk that nearly always happens, inlined: 4-level tables, 4 KiB or 2 MiB pages, no fault, nothing to mark.
 *
 * It answers OK or hands over to gwalk(), which walks again and judges. A caller whose gwalk_memory is a static const of
 * static inline functions gets straight code.
 */
#ifndef CORE_GWALK_FAST_H
#define CORE_GWALK_FAST_H

#include "core/bits.h"
#include "core/check.h"
#include "core/gwalk.h"

#define GWALK_INLINE static inline __attribute__((always_inline))

#define GPTE_P  BIT(0)
#define GPTE_W  BIT(1)
#define GPTE_U  BIT(2)
#define GPTE_A  BIT(5)
#define GPTE_D  BIT(6)
#define GPTE_PS BIT(7)
#define GPTE_NX BIT(63)
#define GPTE_ADDRESS     BITS(51, 12)
#define GPTE_RESERVED_2M BITS(20, 13) /* bit 12 is PAT in a large leaf */
#define GWALK_LARGE_BITS(level) (PAGE_SHIFT + 9u * ((level) - 1u))

/* Reads one entry on the way: present, accessed, and none of `zero` set. */
GWALK_INLINE bool gwalk_fast_read(const struct gwalk_memory *memory, void *context, u64 table, u64 address, u32 level,
				  u64 zero, u64 *entry)
{
	u64 index = (address >> GWALK_LARGE_BITS(level)) & 511, value = 0;
	if (__builtin_expect(memory->read(context, gpa(table + index * sizeof(u64)), sizeof(u64), &value) != OK, 0))
		return false;
	*entry = value;
	return __builtin_expect(!((value ^ (GPTE_P | GPTE_A)) & (zero | GPTE_P | GPTE_A)), 1);
}

/* Rights gathered on the way: is the access plainly allowed, with nothing to mark? */
GWALK_INLINE bool gwalk_fast_allowed(const struct gwalk_mode *mode, u32 access, u64 all, u64 any, u64 leaf)
{
	u64 need = access & (GW_WRITE | GW_USER);
	if (!(access & GW_USER) && (all & GPTE_U) && (access & GW_FETCH ? mode->smep : mode->smap))
		return false;
	if ((access & GW_FETCH) && (any & GPTE_NX))
		return false;
	if ((access & GW_WRITE) && !(leaf & GPTE_D))
		return false;
	return !(need & ~all);
}

GWALK_INLINE status gwalk_with(const struct gwalk_mode *mode, const struct gwalk_memory *memory, void *context,
			       gva_t address, u32 access, bool update, struct gwalk_result *result)
{
	u64 e4, e3, e2, e1, zero = mode->reserved, page = PAGE_SIZE, address_bits = GPTE_ADDRESS;
	if (__builtin_expect(mode->paging != GWALK_4, 0) ||
	    !gwalk_fast_read(memory, context, mode->cr3 & address_bits, address.v, 4, zero | GPTE_PS, &e4) ||
	    !gwalk_fast_read(memory, context, e4 & address_bits, address.v, 3, zero | GPTE_PS, &e3) ||
	    !gwalk_fast_read(memory, context, e3 & address_bits, address.v, 2, zero, &e2))
		return gwalk(mode, memory, context, address, access, update, result);
	u64 all = e4 & e3 & e2, any = e4 | e3 | e2, leaf = e2;
	if (e2 & GPTE_PS) {
		page = BLOCK_SIZE;
		if (__builtin_expect((e2 & GPTE_RESERVED_2M) != 0, 0))
			return gwalk(mode, memory, context, address, access, update, result);
	} else {
		if (!gwalk_fast_read(memory, context, e2 & address_bits, address.v, 1, zero, &e1))
			return gwalk(mode, memory, context, address, access, update, result);
		all &= e1;
		any |= e1;
		leaf = e1;
	}
	if (__builtin_expect(!gwalk_fast_allowed(mode, access, all, any, leaf), 0))
		return gwalk(mode, memory, context, address, access, update, result);
	*result = (struct gwalk_result){
		.at = gpa((leaf & address_bits & ~(page - 1)) | (address.v & (page - 1))),
		.page_size = page,
		.level = page == PAGE_SIZE ? 1 : 2,
		.entry = leaf,
		.writable = all & GPTE_W,
		.user = all & GPTE_U,
	};
	return OK;
}

#endif
