/* Key ids: 16 bytes, and their text form 8-4-4-4-12. */
#ifndef KMS__BASE_ID_H
#define KMS__BASE_ID_H

#include <kms/key.h>

#define KMS__ID_SIZE 16

/* Draws a random UUID, version 4 (RFC 9562). */
void kms__id_draw(uint8_t id[KMS__ID_SIZE]);

void kms__id_format(const uint8_t id[KMS__ID_SIZE], char text[KMS_KEY_ID_SIZE]);

/* Whether text is a whole key id; upper and lower case are the same. */
bool kms__id_parse(const char *text, uint8_t id[KMS__ID_SIZE]);

#endif
