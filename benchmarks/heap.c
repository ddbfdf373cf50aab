/* Preloaded, it keeps count of the heap memory in use: what malloc gave out and nobody has freed yet. glibc only. */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static atomic_long in_use, highest;

static void *taken(void *block) {
    if (block == NULL) return NULL;
    long size = (long)malloc_usable_size(block);
    long now = atomic_fetch_add(&in_use, size) + size;
    long before = atomic_load(&highest);
    while (now > before && !atomic_compare_exchange_weak(&highest, &before, now)) {}
    return block;
}

static void returned(void *block) {
    if (block != NULL) atomic_fetch_sub(&in_use, (long)malloc_usable_size(block));
}

void *malloc(size_t size) { return taken(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return taken(__libc_calloc(count, size)); }
void *memalign(size_t alignment, size_t size) { return taken(__libc_memalign(alignment, size)); }
void *aligned_alloc(size_t alignment, size_t size) { return taken(__libc_memalign(alignment, size)); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    void *block = __libc_memalign(alignment, size);
    if (block == NULL && size != 0) return ENOMEM;
    *result = taken(block);
    return 0;
}

void *realloc(void *block, size_t size) {
    returned(block);
    void *moved = __libc_realloc(block, size);
    if (moved == NULL && size != 0) taken(block); /* it failed: the block is still there */
    return taken(moved);
}

void free(void *block) {
    returned(block);
    __libc_free(block);
}

void heap_restart(void) { atomic_store(&highest, atomic_load(&in_use)); }
long heap_highest(void) { return atomic_load(&highest); }
