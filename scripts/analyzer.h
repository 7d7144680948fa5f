/* Included first by `make tidy`: tells the static analyser, which sees one file at a time, that
 * kms_set_error() returns the status that it was given, so that a failure is not taken for KMS_OK.
 */
#include <kms/status.h>

#define kms_set_error(status, ...) (kms_set_error(status, __VA_ARGS__), (status))
