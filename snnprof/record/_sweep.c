/* Reads an operand once: how many of its values fired, how far, and where, and whether all are what was expected.

   One pass at the speed of memory: what is asked of a value is asked while it is in a register. PyTorch's own threads
   do it where OpenMP is the one it loaded. Sums are whole numbers.

   Whatever is asked, nothing outside of the memory that was named is read or written: arguments are looked at before
   the first value is. Sums are unsigned here, so that one that held too much before wraps, as NumPy's do. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIMS = 32,
    BLOCK = 4096,            /* values: their sums stay in the first cache */
    BYTE = 256,              /* levels that a histogram tells apart */
    FEW = 24,                /* levels that are faster looked for one by one */
};

#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GLIBC__)
#define WIDEST __attribute__((target_clones("avx2", "default")))  /* chosen when the library is loaded */
#else
#define WIDEST
#endif

/* Levels on their way into a histogram. */
typedef struct {
    Py_ssize_t waiting;          /* levels not yet in the bins */
    uint8_t bytes[BLOCK];
    uint32_t number[4][BYTE];    /* four times, since adding twice to one bin has to wait */
} Bins;

/* A part of an operand, and what was found of it. */
typedef struct {
    int dims;
    int size;                    /* bytes of a value: 8 for double, 4 for float, 1 for flags */
    Py_ssize_t shape[DIMS];      /* steps first */
    Py_ssize_t jump[DIMS];       /* bytes from a value to the next */
    Py_ssize_t place[DIMS];      /* from a sum to the next; 0 along what is summed over */
    const char *values;
    double scale, most;          /* values are levels 0 ... most over scale; most 0: anything */
    uint32_t *nonzero;
    uint32_t *levels;            /* sums of levels; NULL: none exceeds one */
    int64_t *fired;              /* non-zero values of each step */
    uint64_t *histogram;         /* NULL: levels do not fit into bytes, or are known from what fired */
    uint32_t *own_nonzero;       /* where several threads add to the same sums */
    uint32_t *own_levels;
    int expected;                /* all values were */
    Bins *bins;                  /* of a histogram */
} Part;

/* -- a row: values at one distance from each other. Each is written for all kinds of values. -------------------------- */

#define LOAD(TYPE)                                                                                                     \
    INLINE TYPE load_##TYPE(const char *at)  /* a value may start at any address; the compiler makes one load of it */  \
    {                                                                                                                  \
        TYPE value;                                                                                                    \
        memcpy(&value, at, sizeof value);                                                                              \
        return value;                                                                                                  \
    }

#define FLAGS(TYPE, INT)                                                                                               \
    /* Non-zeros; says whether one is something else than `one`. */                                                    \
    INLINE int flags_##TYPE(const char *restrict values, Py_ssize_t jump, Py_ssize_t size, TYPE one, int checked,      \
                            uint32_t *restrict nonzero, int kept)                                                      \
    {                                                                                                                  \
        INT fired = 0, other = 0;                                                                                      \
        for (Py_ssize_t i = 0; i < size; i++) {                                                                        \
            TYPE value = load_##TYPE(values + i * jump);                                                               \
            INT flag = value != 0;                                                                                     \
            if (checked) other |= flag & (value != one);                                                               \
            if (kept) nonzero[i] += (uint32_t)flag;                                                                    \
            else fired += flag;                                                                                        \
        }                                                                                                              \
        if (!kept) *nonzero += (uint32_t)fired;                                                                        \
        return other != 0;                                                                                             \
    }

#define LEVELS(TYPE, INT)                                                                                              \
    INLINE TYPE held_##TYPE(TYPE scaled, TYPE most)  /* where a conversion is defined; not-a-number is 0 */            \
    {                                                                                                                  \
        TYPE positive = scaled > 0 ? scaled : 0;                                                                       \
        return positive < most ? positive : most;                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    /* Levels; says whether a value is none. What is too small to be scaled is no zero. */                             \
    INLINE int levels_##TYPE(const char *restrict values, Py_ssize_t jump, Py_ssize_t size, TYPE scale, TYPE most,     \
                             uint32_t *restrict nonzero, uint32_t *restrict levels, int kept, uint8_t *restrict bytes) \
    {                                                                                                                  \
        INT fired = 0, total = 0, other = 0;                                                                           \
        for (Py_ssize_t i = 0; i < size; i++) {                                                                        \
            TYPE value = load_##TYPE(values + i * jump);                                                               \
            INT flag = value != 0, level = (INT)held_##TYPE(value * scale, most);                                      \
            other |= ((TYPE)level != value * scale) | (flag & (level == 0));                                           \
            if (kept) {                                                                                                \
                nonzero[i] += (uint32_t)flag;                                                                          \
                levels[i] += (uint32_t)level;                                                                          \
            } else {                                                                                                   \
                fired += flag;                                                                                         \
                total += level;                                                                                        \
            }                                                                                                          \
        }                                                                                                              \
        if (bytes)                                                                                                     \
            for (Py_ssize_t i = 0; i < size; i++)                                                                      \
                bytes[i] = (uint8_t)(INT)held_##TYPE(load_##TYPE(values + i * jump) * scale, most);                    \
        if (!kept) {                                                                                                   \
            *nonzero += (uint32_t)fired;                                                                               \
            *levels += (uint32_t)total;                                                                                \
        }                                                                                                              \
        return other != 0;                                                                                             \
    }

LOAD(uint8_t)
LOAD(float)
LOAD(double)
FLAGS(uint8_t, int32_t)
FLAGS(float, int32_t)
FLAGS(double, int64_t)
LEVELS(float, int32_t)
LEVELS(double, int64_t)

INLINE int flags(const Part *part, const char *at, Py_ssize_t size, uint32_t *nonzero, int kept)
{
    Py_ssize_t jump = part->jump[part->dims - 1];
    double one = 1 / part->scale;
    int checked = part->most > 0;
    if (part->size == 1 && jump == 1) return flags_uint8_t(at, 1, size, 1, 0, nonzero, kept);
    if (part->size == 1) return flags_uint8_t(at, jump, size, 1, 0, nonzero, kept);
    if (part->size == 8) return flags_double(at, jump, size, one, checked, nonzero, kept);
    if (jump != 4) return flags_float(at, jump, size, (float)one, checked, nonzero, kept);
    if (checked) return flags_float(at, 4, size, (float)one, 1, nonzero, kept);
    return flags_float(at, 4, size, (float)one, 0, nonzero, kept);
}

INLINE int levels(const Part *part, const char *at, Py_ssize_t size, uint32_t *nonzero, uint32_t *sums, int kept,
                  uint8_t *bytes)
{
    Py_ssize_t jump = part->jump[part->dims - 1];
    double scale = part->scale, most = part->most;
    if (part->size == 8) return levels_double(at, jump, size, scale, most, nonzero, sums, kept, bytes);
    if (jump != 4) return levels_float(at, jump, size, (float)scale, (float)most, nonzero, sums, kept, bytes);
    return levels_float(at, 4, size, (float)scale, (float)most, nonzero, sums, kept, bytes);
}

/* -- histogram ------------------------------------------------------------------------------------------------------ */

INLINE int at_level(const uint8_t *bytes, Py_ssize_t size, uint8_t level)
{
    enum { LANES = 64 };
    uint8_t lanes[LANES] = {0};  /* each takes at most BLOCK / LANES flags */
    int number = 0;
    Py_ssize_t rest = size % LANES;
    for (const uint8_t *end = bytes + size - rest; bytes < end; bytes += LANES)
        for (int lane = 0; lane < LANES; lane++) lanes[lane] += bytes[lane] == level;
    for (int lane = 0; lane < LANES; lane++) number += lanes[lane];
    for (Py_ssize_t i = 0; i < rest; i++) number += bytes[i] == level;
    return number;
}

INLINE void bin(Bins *bins)
{
    const uint8_t *bytes = bins->bytes;
    Py_ssize_t size = bins->waiting;
    uint8_t top = 0;
    bins->waiting = 0;
    for (Py_ssize_t i = 0; i < size; i++) top = bytes[i] > top ? bytes[i] : top;
    if (top < FEW) {
        for (int level = 0; level <= top; level++) bins->number[0][level] += (uint32_t)at_level(bytes, size, (uint8_t)level);
        return;
    }
    Py_ssize_t whole = size - size % 4;
    for (Py_ssize_t i = 0; i < whole; i += 4)
        for (int place = 0; place < 4; place++) bins->number[place][bytes[i + place]]++;
    for (Py_ssize_t i = whole; i < size; i++) bins->number[0][bytes[i]]++;
}

/* -- a part: all of its rows ------------------------------------------------------------------------------------------ */

/* Reads a stretch of a row; says whether a value was not expected. */
INLINE int row(Part *part, const char *at, Py_ssize_t sum, Py_ssize_t size, int kept)
{
    if (!part->levels) return flags(part, at, size, part->nonzero + sum, kept);
    Py_ssize_t jump = part->jump[part->dims - 1];
    for (Py_ssize_t start = 0; start < size; start += BLOCK) {
        Py_ssize_t length = size - start < BLOCK ? size - start : BLOCK;
        Py_ssize_t place = sum + (kept ? start : 0);
        uint8_t *bytes = NULL;
        if (part->bins) {
            if (part->bins->waiting + length > BLOCK) bin(part->bins);
            bytes = part->bins->bytes + part->bins->waiting;
            part->bins->waiting += length;
        }
        if (levels(part, at + start * jump, length, part->nonzero + place, part->levels + place, kept, bytes)) return 1;
    }
    return 0;
}

/* Reads the same stretch of all rows of a step; says whether all values were expected. */
INLINE int stretch(Part *part, const char *at, Py_ssize_t sum, Py_ssize_t size, int kept)
{
    Py_ssize_t index[DIMS] = {0};
    for (;;) {
        if (row(part, at, sum, size, kept)) return 0;
        int dim = part->dims - 2;
        for (; dim > 0; dim--) {
            at += part->jump[dim];
            sum += part->place[dim];
            if (++index[dim] < part->shape[dim]) break;
            at -= part->jump[dim] * part->shape[dim];
            sum -= part->place[dim] * part->shape[dim];
            index[dim] = 0;
        }
        if (dim <= 0) return 1;
    }
}

/* Reads a step: rows that stay apart value by value go stretch by stretch, so that the stretch's sums stay at hand. */
WIDEST static int step_read(Part *part, const char *at, Py_ssize_t sum)
{
    int last = part->dims - 1;
    Py_ssize_t size = part->shape[last];
    if (!part->place[last]) return stretch(part, at, sum, size, 0);
    for (Py_ssize_t start = 0; start < size; start += BLOCK) {
        Py_ssize_t length = size - start < BLOCK ? size - start : BLOCK;
        if (!stretch(part, at + start * part->jump[last], sum + start, length, 1)) return 0;
    }
    return 1;
}

WIDEST static void bin_rest(Bins *bins) { bin(bins); }

/* The sum over the sums from one dimension on. */
static int64_t total(const Part *part, const uint32_t *sums, int dim)
{
    int64_t all = 0;
    while (dim < part->dims && !part->place[dim]) dim++;
    if (dim == part->dims) return (int32_t)*sums;
    if (part->place[dim] == 1)
        for (Py_ssize_t i = 0; i < part->shape[dim]; i++) all += (int32_t)sums[i];
    else
        for (Py_ssize_t i = 0; i < part->shape[dim]; i++) all += total(part, sums + i * part->place[dim], dim + 1);
    return all;
}

static void read_part(Part *part)
{
    int64_t before = 0;
    for (Py_ssize_t step = 0; step < part->shape[0] && part->expected; step++) {
        Py_ssize_t sum = step * part->place[0];
        part->expected = step_read(part, part->values + step * part->jump[0], sum);
        int64_t after = total(part, part->nonzero + sum, 1);
        part->fired[step] = after - before;
        if (!part->place[0]) before = after;  /* the steps add to the same sums */
    }
    if (part->bins) bin_rest(part->bins);
}

/* -- an operand: its parts, a thread each ----------------------------------------------------------------------------- */

/* Along which dimension to cut: best one whose parts have sums of their own. */
static int cut_along(const Part *whole, int parts)
{
    int best = -1, longest = 0;
    for (int dim = 0; dim < whole->dims; dim++) {
        if (whole->shape[dim] > whole->shape[longest]) longest = dim;
        int apart = whole->place[dim] && dim < whole->dims - 1 && whole->shape[dim] >= parts;
        if (apart && (best < 0 || whole->shape[dim] > whole->shape[best])) best = dim;
    }
    return best < 0 ? longest : best;
}

/* Sets up one part of several; says whether there was memory for it. */
static int cut(Part *part, const Part *whole, int dim, int number, int parts, Py_ssize_t sums)
{
    *part = *whole;
    Py_ssize_t start = whole->shape[dim] * number / parts, end = whole->shape[dim] * (number + 1) / parts;
    part->shape[dim] = end - start;
    part->values += start * whole->jump[dim];
    part->fired = calloc((size_t)whole->shape[0], sizeof *part->fired);
    if (whole->histogram) part->bins = calloc(1, sizeof *part->bins);
    if (!part->fired || (whole->histogram && !part->bins)) return 0;
    if (whole->place[dim] || parts == 1) {
        part->nonzero += start * whole->place[dim];
        if (whole->levels) part->levels += start * whole->place[dim];
        return 1;
    }
    part->nonzero = part->own_nonzero = calloc((size_t)sums, sizeof *part->nonzero);
    if (whole->levels) part->levels = part->own_levels = calloc((size_t)sums, sizeof *part->levels);
    return part->nonzero && (!whole->levels || part->levels);
}

/* Adds what a part found to the whole, and gives its memory back. */
static void join(const Part *whole, Part *part, int dim, int number, int parts, Py_ssize_t sums)
{
    Py_ssize_t first = dim ? 0 : whole->shape[0] * number / parts;
    if (part->fired)
        for (Py_ssize_t step = 0; step < part->shape[0]; step++) whole->fired[first + step] += part->fired[step];
    if (part->own_nonzero)
        for (Py_ssize_t i = 0; i < sums; i++) whole->nonzero[i] += part->own_nonzero[i];
    if (part->own_levels)
        for (Py_ssize_t i = 0; i < sums; i++) whole->levels[i] += part->own_levels[i];
    free(part->fired);
    free(part->bins);
    free(part->own_nonzero);
    free(part->own_levels);
}

static void add_bins(const Bins *bins, uint64_t *histogram)
{
    for (int place = 0; place < 4; place++)
        for (int level = 0; level < BYTE; level++) histogram[level] += bins->number[place][level];
}

/* Returns whether all values were expected; -1 without memory. */
static int read_whole(const Part *whole, int parts, Py_ssize_t sums)
{
    int dim = cut_along(whole, parts), expected = 1, ready = 1;
    if (whole->shape[dim] < parts) parts = (int)whole->shape[dim];
    Part *all = calloc((size_t)parts, sizeof *all);
    if (!all) return -1;
    for (int i = 0; i < parts; i++) ready &= cut(all + i, whole, dim, i, parts, sums);
    if (ready) {
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
        for (int i = 0; i < parts; i++) read_part(all + i);
    }
    for (int i = 0; i < parts; i++) {
        expected &= all[i].expected;
        if (all[i].bins) add_bins(all[i].bins, whole->histogram);
        join(whole, all + i, dim, i, parts, sums);
    }
    free(all);
    return ready ? expected : -1;
}

/* -- Python ----------------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(read_doc,
"read_operand(storage, bytes, first, size, shape, strides, nonzero, levels, histogram, scale, most, threads)\n"
"-> tuple[int, ...] | None\n\n"
"Adds up what an operand holds. Returns how many values are not zero, step by step, if all are whole multiples, up to\n"
"`most`, of 1 / scale; else None, and what was added is of no use.\n\n"
"No sum may reach 2**31: that many values, or levels, are refused. Sums that hold something before wrap beyond that.\n"
"Arguments that would read or write outside of their memory raise ValueError, those of another type TypeError.\n\n"
"storage, bytes: address and size of the memory that the values lie in; values may start at any address.\n"
"first, shape, strides: where they lie, in values, the steps first, so that there are two dimensions at least; neither\n"
"before the memory nor after.\n"
"size: 8 for float64, 4 for float32, 1 for flags, which are whole multiples of 1 and have no levels.\n"
"nonzero: int32, of the same dimensions, or 1 along what is summed over; None where the steps are all there is to tell.\n"
"levels: as `nonzero`, the sum of levels; None where no level exceeds one.\n"
"histogram: int64 [256]; None where it is not wanted, or levels may be larger.\n"
"scale: a power of two.\n"
"most: the largest level, below 2**18; 0 where values may be anything.\n"
"threads: to read on at most.\n");

PyDoc_STRVAR(dot_doc,
"dot(left, right) -> tuple[int, ...]\n\n"
"The sums of the products of int32 numbers [steps, ...], step by step; those on the right may be the same for each step.\n");

enum {
    MOST = 1 << 18,          /* BLOCK of them are added up in 32 bits */
    THREADS = 256,           /* more are not started, whatever is asked */
};

/* What is added to: the caller's memory, and what he need not see. */
typedef struct {
    Py_buffer nonzero, levels, histogram;
    uint32_t *own_nonzero;
    int64_t *fired;
} Sums;

static void let_go(Sums *sums)
{
    PyBuffer_Release(&sums->nonzero);  /* does nothing to a buffer that was not taken */
    PyBuffer_Release(&sums->levels);
    PyBuffer_Release(&sums->histogram);
    free(sums->own_nonzero);
    free(sums->fired);
}

/* Says why arguments cannot be what they are, unless Python has; always 0. */
static int refused(const char *why)
{
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, why);
    return 0;
}

/* Numbers too large for C, and memory that may not be written to, are values as wrong as others. */
static void as_value_error(void)
{
    if (PyErr_ExceptionMatches(PyExc_OverflowError) || PyErr_ExceptionMatches(PyExc_BufferError))
        PyErr_SetString(PyExc_ValueError, "a number is too large or negative, or memory is read-only or has gaps");
}

/* Takes whole numbers of so many bytes each, without gaps; says whether they are such. */
static int take(PyObject *object, Py_buffer *buffer, Py_ssize_t size, int access)
{
    if (object == Py_None) return 1;
    if (PyObject_GetBuffer(object, buffer, PyBUF_ND | PyBUF_FORMAT | access)) return 0;
    const char *format = buffer->format ? buffer->format : "";
    if (buffer->itemsize != size || strlen(format) != 1 || !strchr("ilq", *format)) {
        PyErr_SetString(PyExc_TypeError, "sums are int32, histograms int64");
        return 0;
    }
    return (uintptr_t)buffer->buf % (size_t)size ? refused("sums start at a multiple of their size") : 1;
}

/* Whether two stretches of memory share a byte; one that was not taken has none. */
static int overlap(const void *one, Py_ssize_t bytes, const Py_buffer *other)
{
    uintptr_t a = (uintptr_t)one, b = (uintptr_t)other->buf;
    return other->obj && a < b + (uintptr_t)other->len && b < a + (uintptr_t)bytes;
}

/* Whether no memory is both read and added to, or added to twice: the compiler relies on that. */
static int apart(const Part *whole, Py_ssize_t bytes, const Sums *sums)
{
    const Py_buffer *nonzero = &sums->nonzero, *levels = &sums->levels, *histogram = &sums->histogram;
    int shared = overlap(whole->values, bytes, nonzero) || overlap(whole->values, bytes, levels)
              || overlap(whole->values, bytes, histogram) || overlap(nonzero->buf, nonzero->len, levels)
              || overlap(nonzero->buf, nonzero->len, histogram) || overlap(levels->buf, levels->len, histogram);
    return shared ? refused("values and sums lie in memory of their own each") : 1;
}

/* Whether there is memory for values of that size. */
static int memory(Part *whole, PyObject *storage, Py_ssize_t bytes)
{
    size_t address = PyLong_AsSize_t(storage), end;
    if (PyErr_Occurred()) return 0;
    if (whole->size != 1 && whole->size != 4 && whole->size != 8) return refused("a value has 1, 4 or 8 bytes");
    if (!address || bytes < whole->size || __builtin_add_overflow(address, (size_t)bytes, &end))
        return refused("the memory holds no value");
    whole->values = (const char *)address;
    return 1;
}

/* Adds a dimension: how many values there are, and where the last one lies. */
static int dimension(Part *whole, PyObject *tuple, PyObject *jumps, int dim, Py_ssize_t *values, Py_ssize_t *last)
{
    Py_ssize_t length = PyLong_AsSsize_t(PyTuple_GET_ITEM(tuple, dim)), reach;
    if (PyErr_Occurred()) return 0;
    Py_ssize_t stride = PyLong_AsSsize_t(PyTuple_GET_ITEM(jumps, dim));
    if (PyErr_Occurred()) return 0;
    if (length < 1 || stride < 0) return refused("a shape is positive, and strides are not negative");
    if (length == 1) stride = 0;
    if (__builtin_mul_overflow(*values, length, values) || *values > INT32_MAX) return refused("these are too many values");
    if (__builtin_mul_overflow(length - 1, stride, &reach) || __builtin_add_overflow(*last, reach, last)
        || __builtin_mul_overflow(stride, (Py_ssize_t)whole->size, whole->jump + dim))
        return refused("values lie outside their memory");
    whole->shape[dim] = length;
    return 1;
}

/* Says where the values lie, from the first to the last; whether that is within the memory. */
static int describe(Part *whole, PyObject *shape, PyObject *strides, Py_ssize_t bytes, Py_ssize_t first)
{
    Py_ssize_t last = first, values = 1;
    if (!PyTuple_Check(shape) || !PyTuple_Check(strides)) {
        PyErr_SetString(PyExc_TypeError, "shape and strides are tuples");
        return 0;
    }
    Py_ssize_t dims = PyTuple_GET_SIZE(shape);
    if (PyTuple_GET_SIZE(strides) != dims) return refused("there is a stride for each dimension");
    if (dims < 2 || dims > DIMS) return refused("there are steps and 1 to 31 further dimensions");
    whole->dims = (int)dims;
    for (int dim = 0; dim < whole->dims; dim++)
        if (!dimension(whole, shape, strides, dim, &values, &last)) return 0;
    if (first < 0 || last >= bytes / whole->size) return refused("values lie outside their memory");
    whole->values += first * whole->size;
    return 1;
}

/* Says where the sums of each step lie, if those are wanted; how many values each takes, or 0 if they do not fit. */
static Py_ssize_t place(Part *whole, const Sums *sums)
{
    const Py_buffer *nonzero = &sums->nonzero, *levels = &sums->levels;
    Py_ssize_t next = nonzero->obj ? nonzero->len / nonzero->itemsize : 1, added = 1;
    if (levels->obj && levels->len != nonzero->len) return 0;
    if (nonzero->obj && nonzero->ndim != whole->dims) return 0;
    for (int dim = 0; dim < whole->dims; dim++) {
        Py_ssize_t length = nonzero->obj ? nonzero->shape[dim] : dim ? 1 : whole->shape[0];
        if (length != 1 && length != whole->shape[dim]) return 0;
        if (nonzero->obj) next /= length;
        if (length == 1) added *= whole->shape[dim];
        whole->place[dim] = length == 1 ? 0 : next;
    }
    return added;
}

/* Hands over the sums; whether what is asked for can be answered. */
static int sums_fit(Part *whole, const Sums *sums)
{
    const Py_buffer *levels = &sums->levels, *histogram = &sums->histogram;
    Py_ssize_t added = place(whole, sums);
    if (!added) return refused("sums do not fit the values");
    if (!(whole->scale > 0 && isfinite(whole->scale))) return refused("a scale is positive and finite");
    if (!(whole->most >= 0 && whole->most < MOST && whole->most == floor(whole->most)))
        return refused("the largest level is a whole number from 0 to 2**18 - 1");
    if (whole->size == 1 && (levels->obj || whole->scale != 1)) return refused("flags have a scale of 1 and no levels");
    if (histogram->obj && (!levels->obj || histogram->len != 8 * BYTE || whole->most >= BYTE))
        return refused("a histogram is of levels below 256, and has a number for each");
    if (levels->obj && (double)added * whole->most > INT32_MAX) return refused("a sum of levels may reach 2**31");
    whole->nonzero = sums->nonzero.buf;
    whole->levels = levels->buf;
    whole->histogram = histogram->buf;
    return 1;
}

static PyObject *as_tuple(const int64_t *numbers, Py_ssize_t size)
{
    PyObject *tuple = PyTuple_New(size);
    for (Py_ssize_t i = 0; tuple && i < size; i++) {
        PyObject *number = PyLong_FromLongLong(numbers[i]);
        if (!number) Py_CLEAR(tuple);
        else PyTuple_SET_ITEM(tuple, i, number);
    }
    return tuple;
}

static PyObject *read_described(Part *whole, Sums *sums, int threads)
{
    int expected;
    Py_ssize_t size = whole->nonzero ? sums->nonzero.len / sums->nonzero.itemsize : whole->shape[0];
    whole->fired = sums->fired = calloc((size_t)whole->shape[0], sizeof *sums->fired);
    if (!whole->nonzero) whole->nonzero = sums->own_nonzero = calloc((size_t)size, sizeof *sums->own_nonzero);
    if (!whole->fired || !whole->nonzero) return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    expected = read_whole(whole, threads, size);
    Py_END_ALLOW_THREADS
    if (expected < 0) return PyErr_NoMemory();
    if (!expected) Py_RETURN_NONE;
    return as_tuple(whole->fired, whole->shape[0]);
}

/* What `read_operand` was given, as it was given. */
typedef struct {
    PyObject *storage, *shape, *strides, *nonzero, *levels, *histogram;
    Py_ssize_t bytes, first;
    int threads;
} Asked;

static int sound(const Asked *asked, Part *whole, Sums *sums)
{
    return take(asked->nonzero, &sums->nonzero, 4, PyBUF_WRITABLE) && take(asked->levels, &sums->levels, 4, PyBUF_WRITABLE)
        && take(asked->histogram, &sums->histogram, 8, PyBUF_WRITABLE) && memory(whole, asked->storage, asked->bytes)
        && apart(whole, asked->bytes, sums) && describe(whole, asked->shape, asked->strides, asked->bytes, asked->first)
        && sums_fit(whole, sums) && (asked->threads > 0 || refused("it takes a thread to read"));
}

static PyObject *read_operand(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *result = NULL;
    Asked asked = {0};
    Part whole = {.expected = 1};
    Sums sums = {{0}, {0}, {0}, NULL, NULL};
    if (PyArg_ParseTuple(arguments, "OnniOOOOOddi", &asked.storage, &asked.bytes, &asked.first, &whole.size, &asked.shape,
                         &asked.strides, &asked.nonzero, &asked.levels, &asked.histogram, &whole.scale, &whole.most,
                         &asked.threads)
        && sound(&asked, &whole, &sums))
        result = read_described(&whole, &sums, asked.threads < THREADS ? asked.threads : THREADS);
    if (!result) as_value_error();
    let_go(&sums);
    return result;
}

/* The sum of products, if 64 bits hold it; says whether they do. */
static int products(const int32_t *a, const int32_t *b, Py_ssize_t size, int64_t *sum)
{
    uint64_t all = 0, most;
    uint32_t left = 0, right = 0;  /* all bits that occur: no count is larger, and a negative number has the highest */
    for (Py_ssize_t i = 0; i < size; i++) {
        left |= (uint32_t)a[i];
        right |= (uint32_t)b[i];
        all += (uint64_t)((int64_t)a[i] * b[i]);
    }
    *sum = (int64_t)all;
    int counts = left <= INT32_MAX && right <= INT32_MAX;
    if (counts && !__builtin_mul_overflow((uint64_t)left * right, (uint64_t)size, &most) && most <= INT64_MAX) return 1;
    *sum = 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if (__builtin_add_overflow(*sum, (int64_t)a[i] * b[i], sum)) return 0;
    return 1;
}

static PyObject *dot_by_step(const Py_buffer *left, const Py_buffer *right)
{
    Py_ssize_t steps = left->ndim ? left->shape[0] : 0, size = steps ? left->len / left->itemsize / steps : 0;
    int own = right->len == left->len;
    if (!size || (!own && right->len / right->itemsize != size)) {
        refused("these have no products step by step");
        return NULL;
    }
    PyObject *sums = PyTuple_New(steps);
    for (Py_ssize_t step = 0; sums && step < steps; step++) {
        int64_t all;
        const int32_t *a = (const int32_t *)left->buf + step * size;
        const int32_t *b = (const int32_t *)right->buf + (own ? step * size : 0);
        PyObject *sum = NULL;
        if (products(a, b, size, &all)) sum = PyLong_FromLongLong(all);
        else refused("a sum of products reaches 2**63");
        if (!sum) Py_CLEAR(sums);
        else PyTuple_SET_ITEM(sums, step, sum);
    }
    return sums;
}

static PyObject *dot(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *first, *second, *result = NULL;
    Py_buffer left = {0}, right = {0};
    if (!PyArg_ParseTuple(arguments, "OO", &first, &second)) return NULL;
    if (first == Py_None || second == Py_None) PyErr_SetString(PyExc_TypeError, "products are of two arrays");
    else if (take(first, &left, 4, 0) && take(second, &right, 4, 0)) result = dot_by_step(&left, &right);
    if (!result) as_value_error();
    PyBuffer_Release(&left);
    PyBuffer_Release(&right);
    return result;
}

static PyMethodDef methods[] = {
    {"read_operand", read_operand, METH_VARARGS, read_doc},
    {"dot", dot, METH_VARARGS, dot_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_sweep", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sweep(void) { return PyModule_Create(&definition); }
