/*
 * Records of a store by what they are about, for tests that write them behind its back.
 */
#ifndef KMS_TESTS_NAMED_RECORDS_H
#define KMS_TESTS_NAMED_RECORDS_H

#include "api_fixture.h"

/* A record key without a value: that of a letter and a key; version only for V. */
stolen record_of(char letter, const char *key_id, uint32_t version);
stolen alias_record(const char *name);

/* The record of that name in a copy of the store; fails the test if there is none. */
const stolen *named_in(const stolen_set *set, stolen named);

#endif
