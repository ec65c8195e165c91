/* What the processor can do. */
#ifndef LAYERWRIGHT_CPU_H
#define LAYERWRIGHT_CPU_H

/* Looks once, and remembers what was found, which is never 0: below a hypervisor each look takes as long as hashing kilobytes. Threads that look at once
   see the same. */
static inline int looked_once(int *known, int (*look)(void)) {
  int found = __atomic_load_n(known, __ATOMIC_RELAXED);
  if (found == 0) __atomic_store_n(known, found = look(), __ATOMIC_RELAXED);
  return found;
}

#endif
