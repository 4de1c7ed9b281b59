#include "base/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

unsigned
table_hash(uint64_t seed, const void *key, size_t len)
{
	return (unsigned)XXH3_64bits_withSeed(key, len, seed);
}
