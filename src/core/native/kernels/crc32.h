/* CRC-32 as of gzip and ZIP (RFC 1952, 8). */
#ifndef LAYERWRIGHT_CRC32_H
#define LAYERWRIGHT_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Whether this processor multiplies without carries; where not, the other function must not be called. */
int crc32_can(void);
/* That of what `before` is the CRC-32 of, 0 for nothing, followed by these bytes. */
uint32_t crc32_of(uint32_t before, const uint8_t *bytes, size_t length);

#endif
