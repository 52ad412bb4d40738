/*
 * utf8: what is text and what is not.
 *
 * Valid means table 3-7 of the Unicode standard: no overlong forms, no
 * surrogates, nothing above U+10FFFF. PostgreSQL takes no less and no more,
 * except U+0000, which it refuses and which we therefore call not storable.
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include "common/buf.h"

bool utf8_valid(const char *s, size_t len);
size_t utf8_count(const char *s, size_t len); /* characters in valid text */

/* Bytes that the first `characters` characters of valid text take, at most len. */
size_t utf8_prefix(const char *s, size_t len, size_t characters);

/* Whether valid text begins with a letter or a digit of any script, as the C library has it. */
bool utf8_alnum(const char *s, size_t len);
/* How many bytes of white space (Unicode's White_Space, and U+FEFF) valid text begins, or ends,
 * with. */
size_t utf8_blank_prefix(const char *s, size_t len);
size_t utf8_blank_suffix(const char *s, size_t len);

/*
 * Add any bytes to out as storable text: each maximal ill-formed part becomes
 * U+FFFD, each NUL U+2400. Returns how many were replaced.
 */
size_t utf8_store(struct buf *out, const char *s, size_t len);

#endif
