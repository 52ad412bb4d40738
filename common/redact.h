/*
 * redact: the one choke point in front of database, spool, log and answer.
 *
 * Takes out every configured secret and whatever has the shape of a well-known kind of key: as they
 * are, JSON-escaped, URL-encoded (each of the two also twice), in base64 of either alphabet, in one
 * line or wrapped, and in hexadecimal digits, wherever in the encoded text they stand. Words are no
 * keys. Linear in the text.
 */
#ifndef COMMON_REDACT_H
#define COMMON_REDACT_H

#include "common/arena.h"

/* Remember a secret of 8 bytes or more for as long as the process lives; shorter ones are ignored.
 */
void redact_secret(const char *secret);

/*
 * The text with each secret replaced by "[REDACTED]" and each key-like token by
 * "[REDACTED:kind]". Returns text itself when there is nothing to take out, else
 * memory of the arena; *out_len is the length of what is returned.
 */
const char *redact(struct arena *a, const char *text, size_t len, size_t *out_len);

#endif
