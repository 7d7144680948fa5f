/* Hashes of what the cache's table is asked for, under secret random numbers. */
#ifndef KMS__VAULT_LOOKUP_HASH_H
#define KMS__VAULT_LOOKUP_HASH_H

#include "vault/cache.h"

/* A reference is hashed as pairs of words of 32 bits. There is a multiplier for what stands alone, one for
 * the length, and one for each word. */
#define KMS__HASH_PAIR sizeof(uint64_t)
#define KMS__HASH_MULTIPLIERS (2 + 2 * ((KMS__LOOKUP_MAX + KMS__HASH_PAIR - 1) / KMS__HASH_PAIR))

/* A pair of words by a pair of multipliers. */
static inline uint64_t kms__hash_product(const uint64_t multiplier[2], const uint8_t *bytes,
                                         size_t len)
{
    uint64_t pair = 0;

    memcpy(&pair, bytes, len);
    return multiplier[0] * (pair & UINT32_MAX) + multiplier[1] * (pair >> 32);
}

/* A sum of products with secret numbers: the upper halves of two lookups' hashes are equal by a chance of
 * 2^-32, whoever chose the lookups. Source: Lemire and Kaser, "Strongly universal string hashing is
 * fast", 2012 (Multilinear). */
static inline uint64_t kms__hash_reference(const uint64_t multipliers[KMS__HASH_MULTIPLIERS],
                                           const uint8_t *bytes, size_t len)
{
    const uint64_t *multiplier = multipliers + 2;
    uint64_t hash = multiplier[-2] + multiplier[-1] * len;

    for (size_t at = 0; at + KMS__HASH_PAIR <= len; at += KMS__HASH_PAIR, multiplier += 2)
        hash += kms__hash_product(multiplier, bytes + at, KMS__HASH_PAIR);
    if (len % KMS__HASH_PAIR == 0)
        return hash;
    /* What is left, and as much before it as fills the pair. */
    return hash + (len > KMS__HASH_PAIR
                       ? kms__hash_product(multiplier, bytes + len - KMS__HASH_PAIR, KMS__HASH_PAIR)
                       : kms__hash_product(multiplier, bytes, len));
}

/* The library draws key ids at random, and only keys that there are get into the table: so nobody chooses
 * what stands in it, and half of an id with the version's number will do. */
static inline uint64_t kms__hash_version_name(const uint64_t multipliers[KMS__HASH_MULTIPLIERS],
                                              const uint8_t *name)
{
    uint64_t half;
    uint32_t version;

    memcpy(&half, name, sizeof half);
    memcpy(&version, name + KMS__ID_SIZE, sizeof version);
    return (half + version * multipliers[1]) * (multipliers[0] | 1);
}

#endif
