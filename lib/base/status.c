#include "base/kept_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 512

static _Thread_local kms_status last_status;
static _Thread_local char last_message[MESSAGE_SIZE];

_Static_assert(sizeof last_message == sizeof((kms__kept_error *)0)->message,
               "a kept message is a whole one");

const char *kms_status_name(kms_status status)
{
    switch (status) {
#define CASE(name, number, sentence)                                                               \
    case name:                                                                                     \
        return #name;
        KMS_STATUS_TABLE(CASE)
#undef CASE
    }
    return "KMS_ERR_?";
}

const char *kms_status_sentence(kms_status status)
{
    switch (status) {
#define CASE(name, number, sentence)                                                               \
    case name:                                                                                     \
        return sentence;
        KMS_STATUS_TABLE(CASE)
#undef CASE
    }
    return "a status that this version of libkms does not know";
}

const char *kms_error_message(void)
{
    return last_message;
}

kms_status kms_error_status(void)
{
    return last_status;
}

void kms__error_keep(kms__kept_error *kept)
{
    kept->status = last_status;
    /* Mostly there is none, and this costs next to nothing. */
    memcpy(kept->message, last_message, strlen(last_message) + 1);
}

void kms__error_restore(const kms__kept_error *kept)
{
    last_status = kept->status;
    memcpy(last_message, kept->message, strlen(kept->message) + 1);
}

kms_status kms_set_error(kms_status status, const char *format, ...)
{
    va_list args;

    if (status == KMS_OK)
        return status;
    last_status = status;
    va_start(args, format);
    if (vsnprintf(last_message, sizeof last_message, format, args) < 0)
        last_message[0] = '\0';
    va_end(args);
    return status;
}
