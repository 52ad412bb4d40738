/*
 * tokens: how the sample provider counts.
 *
 * A token is a run of word characters or a run of punctuation, of at most 6
 * bytes and always of whole characters; the space in front of it belongs to it,
 * as in the tokenizers of real models. Texts are valid UTF-8.
 */
#ifndef FCGI_SAMPLE_TOKENS_H
#define FCGI_SAMPLE_TOKENS_H

#include <stddef.h>

size_t tokens_count(const char *text, size_t len);

/* Bytes that the first `tokens` tokens take: all of them if there are no more than that. */
size_t tokens_prefix(const char *text, size_t len, size_t tokens);

#endif
