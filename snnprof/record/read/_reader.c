/* Reads an operand once: counts its non-zero values, their levels, their distance from the grid, and the outputs that
   they reach.

   One pass at the speed of memory. Each block of values becomes two rows of integers that stay in the first-level cache:
   flags (zero or not) and levels; all sums are computed from those rows. If this file is built with the OpenMP library
   that PyTorch has loaded, it uses PyTorch's threads.

   The arguments are checked before the first value is read, so that no argument makes it read or write outside of the
   memory that they name. Sums that exceed their integer type wrap around. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIMS = 32,
    BLOCK = 2048,            /* values in a block, whose flags and levels fit into the first-level cache */
    BYTE = 256,              /* the most bins of a histogram */
    FEW = 8,                 /* below this level, a histogram compares all values with each level */
    THREADS = 256,           /* the most threads */
};

/* The figures of a time step, as in operand.py; the histogram follows them. */
enum { NONZERO, LEVELS, REACHED, LEVELS_REACHED, NEGATIVE, RESIDUAL, FIGURES };

#define LARGEST 2147483520.0 /* larger levels count as this one: the largest float32 below 2**31 */
#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GLIBC__)
#define WIDEST __attribute__((target_clones("avx2", "default")))  /* the loader chooses one */
#else
#define WIDEST
#endif

typedef struct {
    Py_ssize_t size;
    Py_ssize_t jump;         /* bytes from one value to the next */
    Py_ssize_t place;        /* entries of the table or the sums from one value to the next; 0: they share an entry */
} Dim;

/* A part of an operand, and the memory that its counts are added to. */
typedef struct {
    int dims, bytes;         /* number of dimensions; bytes of a value: 8 for double, 4 for float, 1 for bool */
    Dim dim[DIMS];           /* the time steps first */
    const char *values;
    double quantum;          /* the step of the grid; 0: any real values */
    int single;              /* no level above 1 is expected, so flags are enough; 0 once another value was found */
    double unit;             /* 1 / quantum if that is exact, to multiply by; else quantum, to divide by */
    int exact;               /* whether the quantum is a power of two */
    Py_ssize_t bins;         /* of the histogram; 0: none */
    uint64_t reach;          /* outputs that each value reaches */
    const int32_t *table;    /* the same by place; NULL: it does not depend on the place */
    uint32_t *nonzero;       /* non-zero values by place; NULL: not kept */
    uint64_t *levels;        /* their levels by place; NULL: not kept */
    int64_t *row;            /* figures and histogram of each time step */
} Part;

/* The flags and levels of a block of values, and their sums. */
typedef struct {
    int32_t flag[BLOCK], level[BLOCK];
    int64_t fired, total, negative;
    double worst;
    uint32_t bin[4][BYTE];   /* four histograms in turn: two additions to one bin in a row would wait for each other */
} Block;

/* -- values to flags and levels; the macros are instantiated for each type of values ----------------------------------- */

#define FLAGS(TYPE, INT)                                                                                               \
    INLINE TYPE load_##TYPE(const char *at)  /* values need not be aligned; this compiles to one load */  \
    {                                                                                                                  \
        TYPE value;                                                                                                    \
        memcpy(&value, at, sizeof value);                                                                              \
        return value;                                                                                                  \
    }                                                                                                                  \
                                                                                                                       \
    /* Computes flags; if `checked`, returns whether a value is neither 0 nor `one`. */                                \
    INLINE int flags_##TYPE(const char *restrict at, Py_ssize_t jump, Py_ssize_t size, TYPE one, int checked,          \
                            Block *restrict block, int kept)                                                           \
    {                                                                                                                  \
        INT fired = 0, other = 0;                                                                                      \
        for (Py_ssize_t i = 0; i < size; i++) {                                                                        \
            TYPE value = load_##TYPE(at + i * jump);                                                                   \
            INT flag = value != 0;                                                                                     \
            if (checked) other |= flag & (value != one);                                                               \
            if (kept) block->flag[i] = (int32_t)flag;                                                                  \
            fired += flag;                                                                                             \
        }                                                                                                              \
        block->fired = fired;                                                                                          \
        return other != 0;                                                                                             \
    }

#define LEVELS_OF(TYPE, INT, WHOLE, HIGHEST, INFINITE)                                                                 \
    /* The nearest level of any value (half to even) and the distance from it; level 0, infinitely far, if not finite. */ \
    /* Distances are compared by their bits, which sort alike: the compiler then compares several at once. */           \
    INLINE void any_##TYPE(const char *restrict at, Py_ssize_t jump, Py_ssize_t size, TYPE unit, int divided,          \
                           Block *restrict block)                                                                      \
    {                                                                                                                  \
        INT fired = 0, negative = 0, farthest = 0;                                                                     \
        int64_t total = 0;                                                                                             \
        TYPE worst;                                                                                                    \
        for (Py_ssize_t i = 0; i < size; i++) {                                                                        \
            TYPE value = load_##TYPE(at + i * jump), sized = value < 0 ? -value : value;                               \
            TYPE scaled = divided ? sized / unit : sized * unit;                                                       \
            TYPE whole = scaled < (TYPE)WHOLE ? (scaled + (TYPE)WHOLE) - (TYPE)WHOLE : scaled, off = whole - scaled;    \
            INT bits, flag = value != 0;                                                                               \
            memcpy(&bits, &off, sizeof off);                                                                           \
            bits &= HIGHEST;  /* without the sign */                                                                   \
            TYPE held = whole < (TYPE)LARGEST ? whole : (TYPE)LARGEST;                                                 \
            INT level = (INT)held & -(INT)(bits < INFINITE);                                                           \
            farthest = bits > farthest ? bits : farthest;                                                              \
            negative += (value < 0) & (level > 0);                                                                     \
            block->flag[i] = (int32_t)flag;                                                                            \
            block->level[i] = (int32_t)level;                                                                          \
            fired += flag;                                                                                             \
        }                                                                                                              \
        for (Py_ssize_t i = 0; i < size; i++) total += block->level[i];                                                \
        farthest = farthest < INFINITE ? farthest : INFINITE;                                                          \
        memcpy(&worst, &farthest, sizeof worst);                                                                       \
        block->fired = fired;                                                                                          \
        block->total = total;                                                                                          \
        block->negative = negative;                                                                                    \
        block->worst = worst;                                                                                          \
    }

FLAGS(uint8_t, int32_t)
FLAGS(float, int32_t)
FLAGS(double, int64_t)
LEVELS_OF(float, int32_t, 8388608.0, INT32_MAX, 0x7F800000)
LEVELS_OF(double, int64_t, 4503599627370496.0, INT64_MAX, 0x7FF0000000000000)

/* Calls the instance for the type of the values; neighbours in memory have a call of their own, which is vectorised. */
#define OF_VALUES(READ, ...)                                                                                           \
    (part->bytes == 8 ? (jump == 8 ? READ##_double(at, 8, size, __VA_ARGS__) : READ##_double(at, jump, size, __VA_ARGS__)) \
                      : (jump == 4 ? READ##_float(at, 4, size, __VA_ARGS__) : READ##_float(at, jump, size, __VA_ARGS__)))

/* Computes flags and levels of a block; returns the row of levels, which is that of the flags if no level exceeds 1. */
INLINE const int32_t *read_block(Part *part, const char *at, Py_ssize_t jump, Py_ssize_t size, Block *block, int kept)
{
    block->negative = 0;
    block->worst = 0;
    if (part->bytes == 1) {
        flags_uint8_t(at, jump, size, 1, 0, block, kept);
        block->total = part->quantum ? block->fired : 0;
        return block->flag;
    }
    double unit = part->unit;
    if (!part->quantum) {
        if (kept) OF_VALUES(flags, 0, 0, block, 1);
        else OF_VALUES(flags, 0, 0, block, 0);
        block->total = 0;
        return block->flag;
    }
    if (part->single) {
        int other = kept ? OF_VALUES(flags, part->quantum, 1, block, 1) : OF_VALUES(flags, part->quantum, 1, block, 0);
        block->total = block->fired;
        if (!other) return block->flag;
        part->single = 0;
    }
    if (part->exact) OF_VALUES(any, unit, 0, block);
    else OF_VALUES(any, unit, 1, block);
    return block->level;
}

/* -- flags and levels to sums ------------------------------------------------------------------------------------------ */

INLINE uint64_t reached(const int32_t *count, const int32_t *table, Py_ssize_t jump, Py_ssize_t size)
{
    int64_t sum = 0;
    for (Py_ssize_t i = 0; i < size; i++) sum += (int64_t)count[i] * table[i * jump];
    return (uint64_t)sum;
}

/* Adds a block to the histogram. If all levels are small, it compares with each level in turn, several values at once:
   seven times as fast as sorting one value after the other into its bin. */
INLINE void bin(Block *block, const int32_t *level, Py_ssize_t size, int32_t most)
{
    int32_t top = 0;
    for (Py_ssize_t i = 0; i < size; i++) top = level[i] > top ? level[i] : top;
    if (top < FEW && top <= most) {
        for (int32_t n = 0; n <= top; n++) {
            uint32_t number = 0;
            for (Py_ssize_t i = 0; i < size; i++) number += level[i] == n;
            block->bin[0][n] += number;
        }
        return;
    }
    for (Py_ssize_t i = 0; i < size; i++) block->bin[i % 4][level[i] < most ? level[i] : most]++;
}

INLINE void add(uint64_t number, int64_t *to) { *to = (int64_t)((uint64_t)*to + number); }

/* Adds a block to the figures of its time step and to the sums by place. */
INLINE void count(Part *part, int64_t *row, Block *block, const int32_t *level, Py_ssize_t place, Py_ssize_t size)
{
    Py_ssize_t jump = part->dim[part->dims - 1].place;
    uint64_t fired = (uint64_t)block->fired, total = (uint64_t)block->total, by_flag, by_level;
    double worst;
    if (!part->table || !jump) {
        uint64_t reach = part->table ? (uint64_t)part->table[place] : part->reach;
        by_flag = fired * reach;
        by_level = total * reach;
    } else {
        by_flag = jump == 1 ? reached(block->flag, part->table + place, 1, size)
                            : reached(block->flag, part->table + place, jump, size);
        by_level = !part->quantum ? 0 : level == block->flag ? by_flag : reached(level, part->table + place, jump, size);
    }
    add(fired, row + NONZERO);
    add(total, row + LEVELS);
    add(by_flag, row + REACHED);
    add(by_level, row + LEVELS_REACHED);
    add((uint64_t)block->negative, row + NEGATIVE);
    memcpy(&worst, row + RESIDUAL, sizeof worst);
    if (block->worst > worst) memcpy(row + RESIDUAL, &block->worst, sizeof worst);
    if (part->bins) bin(block, level, size, (int32_t)part->bins - 1);
    if (!part->nonzero) return;
    if (!jump) {
        part->nonzero[place] += (uint32_t)fired;
        if (part->levels) part->levels[place] += total;
        return;
    }
    uint32_t *nonzero = part->nonzero + place;
    if (jump == 1) for (Py_ssize_t i = 0; i < size; i++) nonzero[i] += (uint32_t)block->flag[i];
    else for (Py_ssize_t i = 0; i < size; i++) nonzero[i * jump] += (uint32_t)block->flag[i];
    if (part->levels && part->quantum)
        for (Py_ssize_t i = 0; i < size; i++) part->levels[place + i * jump] += (uint64_t)level[i];
}

/* Reads the same stretch of all rows of a time step, so that the sums of that stretch stay in the cache. */
INLINE void stretch(Part *part, const char *at, Py_ssize_t place, Py_ssize_t size, int64_t *row, Block *block, int kept)
{
    Py_ssize_t index[DIMS] = {0}, jump = part->dim[part->dims - 1].jump;
    for (;;) {
        const int32_t *level = read_block(part, at, jump, size, block, kept);
        count(part, row, block, level, place, size);
        int dim = part->dims - 2;
        for (; dim > 0; dim--) {
            const Dim *along = part->dim + dim;
            at += along->jump;
            place += along->place;
            if (++index[dim] < along->size) break;
            at -= along->jump * along->size;
            place -= along->place * along->size;
            index[dim] = 0;
        }
        if (dim <= 0) return;
    }
}

WIDEST static void read_step(Part *part, Py_ssize_t step, Block *block)
{
    const Dim *last = part->dim + part->dims - 1;
    int64_t *row = part->row + step * (FIGURES + part->bins);
    const char *at = part->values + step * part->dim[0].jump;
    Py_ssize_t place = step * part->dim[0].place;
    int kept = part->bins || (last->place && (part->table || part->nonzero));
    memset(block->bin, 0, sizeof block->bin);
    for (Py_ssize_t start = 0; start < last->size; start += BLOCK) {
        Py_ssize_t size = last->size - start < BLOCK ? last->size - start : BLOCK;
        if (kept) stretch(part, at + start * last->jump, place + start * last->place, size, row, block, 1);
        else stretch(part, at + start * last->jump, place + start * last->place, size, row, block, 0);
    }
    for (Py_ssize_t n = 0; n < part->bins; n++)
        for (int four = 0; four < 4; four++) add(block->bin[four][n], row + FIGURES + n);
}

/* -- an operand: one part per thread ----------------------------------------------------------------------------------- */

/* The dimension to cut along: the longest; with sums by place, the longest in which places differ, so that no two threads
   add to one sum. -1: none. */
static int cut_along(const Part *whole)
{
    int best = -1;
    for (int dim = 0; dim < whole->dims; dim++)
        if ((!whole->nonzero || whole->dim[dim].place) && (best < 0 || whole->dim[dim].size > whole->dim[best].size)) best = dim;
    return best;
}

/* Reads one of several parts and returns its figures for all time steps; NULL if there is no memory for them. */
static int64_t *read_part(const Part *whole, int dim, Py_ssize_t number, Py_ssize_t parts)
{
    Py_ssize_t width = FIGURES + whole->bins;
    int64_t *row = calloc((size_t)(whole->dim[0].size * width), sizeof *row);
    Block *block = malloc(sizeof *block);
    if (row && block) {
        Part part = *whole;
        Dim *along = part.dim + dim;
        Py_ssize_t start = along->size * number / parts, end = along->size * (number + 1) / parts;
        along->size = end - start;
        part.values += start * along->jump;
        if (part.nonzero) part.nonzero += start * along->place;
        if (part.levels) part.levels += start * along->place;
        if (part.table) part.table += start * along->place;
        part.row = dim ? row : row + start * width;
        for (Py_ssize_t step = 0; step < part.dim[0].size; step++) read_step(&part, step, block);
    }
    free(block);
    if (block) return row;
    free(row);
    return NULL;
}

/* Reads an operand on several threads; returns whether there was memory for it. */
static int read_whole(const Part *whole, int threads)
{
    int dim = threads > 1 ? cut_along(whole) : 0;
    int parts = dim < 0 ? 1 : whole->dim[dim].size < threads ? (int)whole->dim[dim].size : threads, ready = 1;
    Py_ssize_t width = FIGURES + whole->bins, numbers = whole->dim[0].size * width;
    int64_t *rows[THREADS];
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int i = 0; i < parts; i++) rows[i] = read_part(whole, dim < 0 ? 0 : dim, i, parts);
    for (int i = 0; i < parts; i++) ready &= rows[i] != NULL;
    for (int i = 0; i < parts; i++) {
        for (Py_ssize_t n = 0; ready && n < numbers; n++) {
            if (n % width != RESIDUAL) add((uint64_t)rows[i][n], whole->row + n);
            else if (rows[i][n] > whole->row[n]) whole->row[n] = rows[i][n];
        }
        free(rows[i]);
    }
    return ready;
}

/* -- Python ------------------------------------------------------------------------------------------------------------ */

PyDoc_STRVAR(read_doc,
"read(values, first, size, dims, quantum, single, reach, table, row, bins, nonzero, levels, threads) -> None\n\n"
"Adds an operand's figures to a row, time step by time step, and its counts to sums by place. Arguments that would read\n"
"or write outside of their memory raise ValueError, arguments of a wrong type TypeError.\n\n"
"values, table, row, nonzero, levels: (address, bytes) of the memory of each; (0, 0): there is none.\n"
"first: index of the first value in its memory.\n"
"size: bytes of a value: 8 for float64, 4 for float32, 1 for bool.\n"
"dims: three numbers for each dimension, the time steps first: its size, the distance of two neighbours in values, and\n"
"their distance in entries of the table or the sums.\n"
"quantum: the step of the grid; 0: any real values.\n"
"single: no level above 1 is expected.\n"
"reach: outputs that each value reaches; the table, int32, has them if they depend on the place.\n"
"row: int64 [steps, 6 + bins]: non-zeros, their levels, outputs that they reach, the same weighted by levels, negative\n"
"levels, and the largest distance from the grid as bits of float64; then elements at level 0, 1, ..., bins - 1.\n"
"nonzero, levels: int32 and int64 sums by place; not together with a table.\n"
"threads: the most threads to use.\n");

/* A piece of memory among the arguments. */
typedef struct {
    size_t address, bytes;
} Memory;

/* Sets a ValueError, unless an exception is set already; returns 0. */
static int refused(const char *why)
{
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, why);
    return 0;
}

/* Converts (address, bytes), for the format "O&". */
static int take(PyObject *object, void *target)
{
    Memory *memory = target;
    size_t end;
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 2) {
        PyErr_SetString(PyExc_TypeError, "memory is a tuple of its address and its bytes");
        return 0;
    }
    memory->address = PyLong_AsSize_t(PyTuple_GET_ITEM(object, 0));
    if (PyErr_Occurred()) return 0;
    memory->bytes = PyLong_AsSize_t(PyTuple_GET_ITEM(object, 1));
    if (PyErr_Occurred()) return 0;
    if (!memory->address != !memory->bytes || __builtin_add_overflow(memory->address, memory->bytes, &end))
        return refused("memory has an address and bytes, or neither");
    return 1;
}

/* Whether no memory that is written to overlaps another: `restrict` promises that to the compiler. */
static int apart(const Memory *memory, int count, int written)
{
    for (int i = 0; i < written; i++)
        for (int j = i + 1; j < count; j++)
            if (memory[i].address < memory[j].address + memory[j].bytes
                && memory[j].address < memory[i].address + memory[i].bytes)
                return refused("values, table and sums lie in memory of their own each");
    return 1;
}

/* Reads one number of the dimensions, which must be at least `least`. */
static int next(PyObject *numbers, Py_ssize_t index, Py_ssize_t least, Py_ssize_t *number)
{
    *number = PyLong_AsSsize_t(PyTuple_GET_ITEM(numbers, index));
    if (PyErr_Occurred()) return 0;
    return *number >= least ? 1 : refused("a size is positive, and distances are not negative");
}

/* Reads the dimensions; adds the distance of the last value and of the last place, unless they exceed any memory. */
static int describe(Part *part, PyObject *numbers, Py_ssize_t *value, Py_ssize_t *place)
{
    Py_ssize_t count = PyTuple_GET_SIZE(numbers), all = 1, reach;
    part->dims = (int)(count / 3);
    if (count % 3 || count < 6 || count > 3 * DIMS) return refused("there are steps and 1 to 31 further dimensions");
    for (int d = 0; d < part->dims; d++) {
        Dim *dim = part->dim + d;
        if (!next(numbers, 3 * d, 1, &dim->size) || !next(numbers, 3 * d + 1, 0, &dim->jump)
            || !next(numbers, 3 * d + 2, 0, &dim->place))
            return 0;
        if (__builtin_mul_overflow(all, dim->size, &all) || all > INT32_MAX) return refused("these are too many values");
        if (__builtin_mul_overflow(dim->size - 1, dim->jump, &reach) || __builtin_add_overflow(*value, reach, value)
            || __builtin_mul_overflow(dim->size - 1, dim->place, &reach) || __builtin_add_overflow(*place, reach, place)
            || __builtin_mul_overflow(dim->jump, (Py_ssize_t)part->bytes, &dim->jump))
            return refused("values or places lie outside their memory");
        if (dim->size == 1) dim->jump = dim->place = 0;
    }
    return 1;
}

/* Whether a piece of memory has an aligned entry at the last place, or does not exist. */
static int holds(const Memory *memory, Py_ssize_t last, size_t size)
{
    return !memory->address || (memory->address % size == 0 && (size_t)last < memory->bytes / size);
}

static int expects(const Part *part)
{
    double quantum = part->quantum;
    if (!(quantum >= 0 && isfinite(quantum) && (!quantum || isfinite(1 / quantum))))
        return refused("a quantum is positive and finite, or 0");
    if (part->bytes == 1 && quantum && quantum != 1) return refused("flags are multiples of 1");
    if (part->bins < 0 || part->bins > BYTE) return refused("a histogram has at most 256 bins");
    return 1;
}

static PyObject *read_operand(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Part part = {0};
    Memory memory[5] = {{0, 0}};  /* the first three are written to */
    Memory *row = memory, *nonzero = memory + 1, *levels = memory + 2, *table = memory + 3, *values = memory + 4;
    PyObject *dims;
    Py_ssize_t first, last, place = 0, reach;
    int threads, exponent, done;
    if (!PyArg_ParseTuple(arguments, "O&niO!dpnO&O&nO&O&i", take, values, &first, &part.bytes, &PyTuple_Type, &dims,
                          &part.quantum, &part.single, &reach, take, table, take, row, &part.bins, take, nonzero, take,
                          levels, &threads))
        goto failed;
    last = first;
    if (part.bytes != 1 && part.bytes != 4 && part.bytes != 8) refused("a value has 1, 4 or 8 bytes");
    else if (!values->address || first < 0) refused("the memory holds no value there");
    else if (reach < 0 || reach > INT32_MAX) refused("what a value reaches is a number below 2**31");
    else if (table->address && nonzero->address) refused("there is a table or there are sums");
    else if (levels->address && !nonzero->address) refused("levels are kept beside non-zeros");
    else if (threads < 1) refused("it takes a thread to read");
    if (PyErr_Occurred() || !expects(&part) || !describe(&part, dims, &last, &place) || !apart(memory, 5, 3)) goto failed;
    if ((size_t)last >= values->bytes / (size_t)part.bytes) refused("values lie outside their memory");
    else if (!holds(table, place, 4) || !holds(nonzero, place, 4) || !holds(levels, place, 8))
        refused("places lie outside their memory");
    else if (row->address % 8 || row->bytes != (size_t)(part.dim[0].size * (FIGURES + part.bins)) * 8)
        refused("a row has six figures and its bins for each step");
    if (PyErr_Occurred()) goto failed;
    part.values = (const char *)values->address + first * part.bytes;
    part.exact = frexp(part.quantum, &exponent) == 0.5;
    part.unit = part.exact ? 1 / part.quantum : part.quantum;
    part.reach = (uint64_t)reach;
    part.table = (const int32_t *)table->address;
    part.row = (int64_t *)row->address;
    part.nonzero = (uint32_t *)nonzero->address;
    part.levels = (uint64_t *)levels->address;
    Py_BEGIN_ALLOW_THREADS
    done = read_whole(&part, threads < THREADS ? threads : THREADS);
    Py_END_ALLOW_THREADS
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
failed:
    if (PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_SetString(PyExc_ValueError, "a number is too large or negative");
    return NULL;
}

static PyMethodDef methods[] = {
    {"read", read_operand, METH_VARARGS, read_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_reader", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__reader(void) { return PyModule_Create(&definition); }
