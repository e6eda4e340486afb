/*
 * addr: addresses and frame numbers as types that do not mix.
 *
 *   gva  guest-virtual (linear)      gpa, gfn  guest-physical, by byte and by 4 KiB frame
 *   hpa, hfn  host-physical, by byte and by 4 KiB frame
 *
 * Each is a struct around one integer: passing one for another does not compile, and the
 * code that comes out is that of the bare integer.
 */
#ifndef CORE_ADDR_H
#define CORE_ADDR_H

#include "abi/types.h"

typedef struct { u64 v; } hpa_t;
typedef struct { u64 v; } gpa_t;
typedef struct { u64 v; } gva_t;
typedef struct { u64 v; } hfn_t;
typedef struct { u64 v; } gfn_t;

static inline hpa_t hpa(u64 v) { return (hpa_t){ v }; }
static inline gpa_t gpa(u64 v) { return (gpa_t){ v }; }
static inline gva_t gva(u64 v) { return (gva_t){ v }; }
static inline hfn_t hfn(u64 v) { return (hfn_t){ v }; }
static inline gfn_t gfn(u64 v) { return (gfn_t){ v }; }

static inline hfn_t hpa_frame(hpa_t a) { return hfn(a.v >> PAGE_SHIFT); }
static inline gfn_t gpa_frame(gpa_t a) { return gfn(a.v >> PAGE_SHIFT); }
static inline hpa_t frame_hpa(hfn_t f) { return hpa(f.v << PAGE_SHIFT); }
static inline gpa_t frame_gpa(gfn_t f) { return gpa(f.v << PAGE_SHIFT); }

static inline hfn_t hfn_add(hfn_t f, u64 n) { return hfn(f.v + n); }
static inline gfn_t gfn_add(gfn_t f, u64 n) { return gfn(f.v + n); }

/* No frame: never the number of a real one. */
#define HFN_NONE ((hfn_t){ ~0ull >> PAGE_SHIFT })
static inline bool hfn_is_none(hfn_t f) { return f.v == (~0ull >> PAGE_SHIFT); }

#endif
