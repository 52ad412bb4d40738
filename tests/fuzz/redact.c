/*
 * Redaction.
 *
 * Input: a text. The secrets are fixed: dictionaries/redact has them, as they are and encoded.
 * Asserted: none is left in any encoding; once is enough; text stays text, and the same where there
 * is nothing to take out.
 *
 * Covers: common/redact.c
 */
#include "common/redact.h"

#include <string.h>

#include "common/json.h"
#include "common/utf8.h"
#include "tests/fuzz/lib/fuzz.h"

enum { INPUT_MAX = 65536, GROWTH_MAX = 8 };

/* One begins like another, one holds what JSON and URLs escape, one is not ASCII. */
static const char *const secrets[] = {"hunter2hunter2", "hunter2hunter2-long",
                                      "p\"w\\d/+ \xC3\xBF~1", "sk-proj-0123456789abcdefABCDEF"};
enum { SECRETS = sizeof secrets / sizeof *secrets };

/* As they look in a text, escaped once and twice, in base64 at each place, in hexadecimal. */
static const char *const forms[] = {
    "hunter2hunter2",
    "p\"w\\d/+ \xC3\xBF~1",
    "p\\\"w\\\\d/+ \xC3\xBF~1",
    "p%22w%5Cd%2F%2B%20%C3%BF~1",
    "p%22w%5cd%2f%2b%20%c3%bf~1",
    "sk-proj-0123456789abcdefABCDEF",
    "aHVudGVyMmh1bnRlcjI",
    "cCJ3XGQvKyDDv34x",
    "eGh1bnRlcjJodW50ZXIy",
    "eHlodW50ZXIyaHVudGVyMg",
    "eHAid1xkLysgw79+MQ",
    "eHlwIndcZC8rIMO/fjE",
    "7022775c642f2b20c3bf7e31",
    "7022775C642F2B20C3BF7E31",
    "68756e7465723268756e74657232",
    "p\\\\\\\"w\\\\\\\\d/+ \xC3"
    "\xBF"
    "~1",
    "p%2522w%255Cd%252F%252B%2520%25C3%25BF~1",
    "p\\\"w\\\\d/+ \\u00ff~1",
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    for (int i = 0; i < SECRETS; i++)
        redact_secret(secrets[i]);
    redact_secret("short");
    redact_secret(NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *once, *twice;
    size_t len, again;
    struct arena *a;

    if (size > INPUT_MAX)
        return 0;
    a = arena_create();
    once = redact(a, text, size, &len);
    must(len <= GROWTH_MAX * size + 64);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        must(!fuzz_contains(once, len, forms[i]));
    must((once == text) == !fuzz_contains(once, len, "[REDACTED") ||
         fuzz_contains(text, size, "[REDACTED"));
    must(once != text || len == size);
    must(!utf8_valid(text, size) || utf8_valid(once, len));
    twice = redact(a, once, len, &again);
    must(again == len && (len == 0 || memcmp(once, twice, len) == 0));
    arena_destroy(a);
    return 0;
}
