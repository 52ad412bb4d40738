#include "common/redact.h"

#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/json.h"
#include "tests/unit/suites.h"

/* Holds what JSON escapes, what URLs encode, and digits of both alphabets of base64. */
#define SECRET "p\"w\\d/+ \xC3\xBF\xC3\xBE~123"

#define ASCII_SECRET "q\"w\\d/+ ~123"

static struct arena *a;

static void setup(void)
{
    a = arena_create();
    redact_secret(SECRET);
    redact_secret(ASCII_SECRET);
}

static void teardown(void)
{
    arena_destroy(a);
}

static const char *redacted(const char *text)
{
    size_t len;
    const char *out = redact(a, text, strlen(text), &len);

    ck_assert_uint_eq(len, strlen(out));
    return out;
}

static const char *base64(const char *s, size_t len, const char last[2])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    struct buf *b = buf_create(a, 2 * len + 4);

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = 0;

        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? (unsigned char)s[i + k] : 0);
        for (size_t k = 0; k < 4; k++) {
            unsigned d = v >> (18 - 6 * k) & 63;

            buf_add(b, k > n ? "=" : d < 62 ? &digits[d] : &last[d - 62], 1);
        }
    }
    return buf_text(b);
}

START_TEST(takes_out_secrets_as_they_are)
{
    ck_assert_str_eq(redacted(SECRET), "[REDACTED]");
    ck_assert_str_eq(redacted("a" SECRET "b" SECRET "c"), "a[REDACTED]b[REDACTED]c");
    ck_assert_str_eq(redacted(SECRET SECRET), "[REDACTED][REDACTED]");
}
END_TEST

START_TEST(takes_out_secrets_in_json)
{
    struct buf *b = buf_create(a, 1000);

    json_write_string(b, "key: " SECRET ".", strlen("key: " SECRET "."));
    ck_assert_ptr_null(strstr(buf_text(b), SECRET));
    ck_assert_str_eq(redacted(buf_text(b)), "\"key: [REDACTED].\"");
}
END_TEST

START_TEST(takes_out_secrets_in_urls)
{
    ck_assert_str_eq(redacted("/?key=p%22w%5Cd%2F%2B%20%C3%BF%C3%BE~123&x=1"),
                     "/?key=[REDACTED]&x=1");
    ck_assert_str_eq(redacted("/?key=p%22w%5cd%2f%2b%20%c3%bf%c3%be~123&x=1"),
                     "/?key=[REDACTED]&x=1");
}
END_TEST

/* Whatever stands before it: the secret begins in each of the three bytes of a group. */
START_TEST(takes_out_secrets_in_base64_at_each_alignment)
{
    static const char *const alphabets[] = {"+/", "-_"};

    for (size_t before = 0; before < 9; before++)
        for (size_t behind = 0; behind < 4; behind++)
            for (size_t i = 0; i < 2; i++) {
                const char *text = arena_printf(a, "%.*s%s%.*s", (int)before, "user:pass", SECRET,
                                                (int)behind, "tail");
                const char *coded = base64(text, strlen(text), alphabets[i]);
                const char *out = redacted(arena_printf(a, "Coded %s.", coded));

                ck_assert_msg(strstr(out, "[REDACTED]") != NULL, "%zu %zu: %s", before, behind,
                              out);
                /* what stays is what the neighbours' bits are in: at most two digits a side */
                ck_assert_uint_le(strlen(out), strlen("Coded [REDACTED].") + (before * 8 + 5) / 6 +
                                                   2 + behind * 2 + 4);
            }
}
END_TEST

START_TEST(takes_out_the_longer_of_two_secrets)
{
    redact_secret("prefix-of-another");
    redact_secret("prefix-of-another-and-more");
    ck_assert_str_eq(redacted("prefix-of-another-and-more"), "[REDACTED]");
    ck_assert_str_eq(redacted("prefix-of-another-and"), "[REDACTED]-and");
}
END_TEST

START_TEST(leaves_texts_too_short_for_secrets)
{
    redact_secret("");
    redact_secret("seven77");
    redact_secret(NULL);
    ck_assert_str_eq(redacted("seven77"), "seven77");
    redact_secret("eight888");
    ck_assert_str_eq(redacted("eight888"), "[REDACTED]");
}
END_TEST

START_TEST(takes_out_what_has_the_shape_of_a_key)
{
    static const char *const rows[][2] = {
        {"sk-proj-Zk3v9QmT7xLpR2sWyB8nDfGh_J4-cE6aU1", "openai"},
        {"sk-0123456789abcdef0123456789abcdef", "openai"},
        {"sk-abcdefghijklmnopqrstuvwxyz012345", "openai"},
        {"sk-AbCdEfGhIjKlMnOpQrStUvWx", "openai"},
        {"sk-ant-api03-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "anthropic"},
        {"sk-9f3a1c7e-4b2d-4e8f-9a6b-1c3d5e7f9a0b", "openai"},
        {"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", "openai"},
        {"sk-kY3-ab_9Xq2LmZ-7TfR0aB", "openai"},
        {"sk-ant-api03-Zk3v9QmT7xLpR2sWyB8nDfGhJ4cE6aU1-AA", "anthropic"},
        {"AIzaSyA0123456789abcdefghijklmnopqrstuv", "google"},
        {"ya29.a0AfH6SMBexampleexampleexample", "google"},
        {"gsk_0123456789abcdefghijABCDEFGHIJ0123456789abcdefgh", "groq"},
        {"hf_abcdefghijABCDEFGHIJabcdefghijABCD", "huggingface"},
        {"xai-0123456789abcdefghijABCDEFGHIJ0123456789", "xai"},
        {"pplx-0123456789abcdefghijABCDEFGHIJ0123456789", "perplexity"},
        {"ghp_0123456789abcdefghijABCDEFGHIJ012345", "github"},
        {"github_pat_11ABCDEFG0abcdefghijklmnopqrstuvwxyz0123456789", "github"},
        {"glpat-Zk3v9QmT7xLpR2sWyB8n", "gitlab"},
        {"Basic YWRhOnMzY3JldC1Xb3Jk", "basic"},
        {"Basic YWRhOmxpdHRsZSBsYW1i", "basic"},
        {"Basic asO8cmdlbjpww6Rzc3fDtnJ0ZXI=", "basic"},
        {"AKIAIOSFODNN7EXAMPLE", "aws"},
        {"xoxb-123456789012-abcdef", "slack"},
        {"lt_0123456789abcdefghijABCDEFGHIJ0123456789_-x", "lesson-tracer"},
        {"Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc-_=", "bearer"},
        {"Bearer 9f3a1c7e4b2d4e8f", "bearer"},
        {"Bearer dGhlLWtleS1vZi1hZGE=", "bearer"},
        {"Bearer kYQwTzLmRpXvNbHs", "bearer"},
        {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
         "jwt"},
        {"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDh4ZmV3cjQzMjQzMnI0MzI0cjQzcjQz\nMTIz"
         "NA==\n-----END PRIVATE KEY-----",
         "private_key"},
        {"-----BEGIN RSA PRIVATE KEY-----\r\nMC4CAQAwBQYDK2VwBCIEIDh4ZmV3cjQzMjQzMnI0",
         "private_key"},
    };
    static const char *const around[][2] = {{"", ""},     {"key=", " x"}, {"(", ")"}, {"\"", "\","},
                                            {"\n", "\n"}, {"/", "?x"},    {"-", "!"}, {"KEY_", ""}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t n = 0; n < sizeof around / sizeof *around; n++)
            ck_assert_str_eq(
                redacted(arena_printf(a, "%s%s%s", around[n][0], rows[i][0], around[n][1])),
                arena_printf(a, "%s[REDACTED:%s]%s", around[n][0], rows[i][1], around[n][1]));
}
END_TEST

START_TEST(takes_out_the_password_of_a_url)
{
    ck_assert_str_eq(redacted("postgresql://lesson:s3cret-Word@db.example/x"),
                     "postgresql://lesson:[REDACTED:password]@db.example/x");
    ck_assert_str_eq(redacted("see redis://:Pa55word@cache:6379."),
                     "see redis://:[REDACTED:password]@cache:6379.");
    ck_assert_str_eq(redacted("amqp://ada:correcthorse@queue/"),
                     "amqp://ada:[REDACTED:password]@queue/");
}
END_TEST

/* ---- in code ---- */

/* Each byte as its hexadecimal digits, behind what tells that they are some. */
static const char *escaped(const char *s, const char *sign, bool upper)
{
    struct buf *b = buf_create(a, 8 * strlen(s) + 1);

    for (; *s; s++) {
        buf_puts(b, sign);
        buf_printf(b, upper ? "%02X" : "%02x", (unsigned char)*s);
    }
    return buf_text(b);
}

static const char *in_json(const char *s)
{
    struct buf *b = buf_create(a, 6 * strlen(s) + 2);

    json_write_string(b, s, strlen(s));
    return buf_text(b);
}

static const char *in_base64(const char *s)
{
    return base64(s, strlen(s), "+/");
}

static const char *in_base64url(const char *s)
{
    return base64(s, strlen(s), "-_");
}

static const char *in_hex(const char *s)
{
    return escaped(s, "", false);
}

static const char *in_upper_hex(const char *s)
{
    return escaped(s, "", true);
}

static const char *in_url(const char *s)
{
    return escaped(s, "%", false);
}

static const char *in_json_escapes(const char *s)
{
    return escaped(s, "\\u00", false);
}

static const char *in_json_in_json(const char *s)
{
    return in_json(in_json(s));
}

static const char *in_url_in_json(const char *s)
{
    return in_json(in_url(s));
}

static const char *base64_in_url(const char *s)
{
    return in_url(in_base64(s));
}

static const char *base64_in_json(const char *s)
{
    return in_json_escapes(in_base64(s));
}

static const char *(*const encoders[])(const char *s) = {
    in_json,         in_base64,       in_base64url,   in_hex,        in_upper_hex,  in_url,
    in_json_escapes, in_json_in_json, in_url_in_json, base64_in_url, base64_in_json};

/* What is left of an encoded text has no more of the key than that it was there. */
START_TEST(takes_out_encoded_keys_wherever_they_stand)
{
    static const char *const keys[] = {ASCII_SECRET, "sk-proj-Zk3v9QmT7xLpR2sWyB8nDfGh_J4-cE6aU1",
                                       "AKIAIOSFODNN7EXAMPLE", "xoxb-123456789012-abcdef"};
    static const char before[] = "; 7 ?~ key=", behind[] = " .;!";

    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
            for (size_t skip = 0; skip < sizeof before - 2; skip++) {
                const char *text = arena_printf(a, "%s%s%s", before + skip, keys[k], behind);
                const char *out = redacted(arena_printf(a, "<%s>", encoders[i](text)));

                ck_assert_msg(strstr(out, "[REDACTED") != NULL, "%zu: %s", i, out);
                ck_assert_msg(strstr(out, keys[k]) == NULL, "%s", out);
                ck_assert_msg(out[0] == '<' && out[strlen(out) - 1] == '>', "%s", out);
                ck_assert_msg(strlen(out) <= strlen(encoders[i](before + skip)) +
                                                 strlen(encoders[i](behind)) + 32,
                              "%zu: %s", i, out);
            }
}
END_TEST

/* At each place in a line, and on the edge of two. */
START_TEST(takes_out_keys_in_wrapped_base64)
{
    static const char *const keys[] = {ASCII_SECRET, "sk-proj-Zk3v9QmT7xLpR2sWyB8nDfGh_J4-cE6aU1"};
    static const char *const breaks[] = {"\n", "\r\n"};
    static const char filler[] = "What was known of the moon before: its mountains, its seas, its "
                                 "phases and the month they take; that it is far away. ";

    for (size_t skip = 0; skip < 64; skip++) {
        const char *key = keys[skip % 2], *end = breaks[skip / 2 % 2];
        const char *text = arena_printf(a, "%s%s%s", filler + skip, key, filler);
        const char *coded = base64(text, strlen(text), "+/"), *out, *left;
        struct buf *wrapped = buf_create(a, 2 * strlen(coded));

        for (; strlen(coded) > 76; coded += 76)
            buf_printf(wrapped, "%.76s%s", coded, end);
        buf_printf(wrapped, "%s%s", coded, end);
        out = redacted(buf_text(wrapped));
        ck_assert_msg((left = strstr(out, "[REDACTED")) != NULL, "%zu: %s", skip, out);
        ck_assert_msg(strstr(left + 1, "[REDACTED") == NULL, "%zu: %s", skip, out);
        ck_assert_uint_ge(strlen(out), wrapped->len - strlen(key) * 4 / 3 - 8);
        ck_assert_uint_le(strlen(out), wrapped->len - strlen(key) * 4 / 3 + 22);
        ck_assert_str_eq(redacted(out), out);
    }
}
END_TEST

START_TEST(leaves_what_stands_beside_a_key)
{
    ck_assert_str_eq(redacted("50% off \\(x\\) %20sk-0123456789abcdef0123456789abcdef%20 \\n"),
                     "50% off \\(x\\) %20[REDACTED:openai]%20 \\n");
    ck_assert_str_eq(redacted("a \\u0073k-0123456789abcdef0123456789abcdef b"),
                     "a [REDACTED:openai] b");
    ck_assert_str_eq(redacted("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDh4ZmV3cjQz\n"
                              "-----END PRIVATE KEY-----\nthe end"),
                     "[REDACTED:private_key]\nthe end");
}
END_TEST

/* What was taken out is no word that the next key would be in the middle of. */
START_TEST(takes_out_a_key_behind_what_was_taken_out)
{
    ck_assert_str_eq(redacted(SECRET "gsk_0123456789abcdefghijABCDEFGHIJ0123456789"),
                     "[REDACTED][REDACTED:groq]");
    ck_assert_str_eq(redacted("AKIA0123456789ABCDEFsk-0123456789abcdefABCDEF"),
                     "[REDACTED:aws][REDACTED:openai]");
    ck_assert_str_eq(redacted(arena_printf(a, "%sxoxb-0123456789ab",
                                           base64(ASCII_SECRET, strlen(ASCII_SECRET), "+/"))),
                     "[REDACTED][REDACTED:slack]");
}
END_TEST

START_TEST(takes_out_a_secret_behind_an_address)
{
    ck_assert_str_eq(redacted("//" SECRET), "//[REDACTED]");
    ck_assert_str_eq(redacted("https://provider.test/v1 refused " SECRET ", said it"),
                     "https://provider.test/v1 refused [REDACTED], said it");
}
END_TEST

/* Some texts pass here twice. */
START_TEST(leaves_what_it_wrote_itself)
{
    ck_assert_str_eq(redacted("//ada:" SECRET "@h"), "//ada:[REDACTED]@h");
    ck_assert_str_eq(redacted("//ada:[REDACTED]@h"), "//ada:[REDACTED]@h");
}
END_TEST

START_TEST(leaves_ordinary_words)
{
    static const char *const rows[] = {
        "",
        "A task-based approach to risk-management-in-the-classroom.",
        "desk-research-about-magnets-and-iron-filings-1234567890",
        "disk-shaped sk- and sk-short",
        "/sk-learn-pipelines-and-their-many-steps",
        "sk-slovensky-jazyk-a-literatura-ucebnica",
        "The bearer of good news; Bearer responsibilities; Bearer of-the-crown-jewels",
        "The Ring Bearer Responsibilities, Bearer Responsibilities-Part-2 and Pall-Bearer "
        "2024/2025",
        "Bearer ResponsibilitiesForAll, Bearer McAllister-MacDonald-O-Neill-3rd",
        "Bearer https://example.org/a/b, Bearer /lessons/2024-11-05/part-2/unit-3b",
        "Bearer getAuthenticationHeader and sk-getAuthenticationHeader",
        "sk-learn-tutorial-part-2-intro, sk-Learn-Tutorial-Part-2-Intro-To-Trees-2nd-Edition",
        "/courses/sk-2024-2025-rocnik-4b-pracovny-list-12-a-13.html",
        "sk-tatry-2655-m-gerlachovsky-stit-1. sk-ant-farm-for-grade-2-observation-sheet-no-4",
        "sk-learn-v1-5-2-and-Python-3-12-with-NumPy-2-x-and-PyTorch",
        "hf_Transformers_Pipeline_With_2_Models_And_Tokenizers",
        "AIza is short; ya29.the-cow-jumped-over-the-moon-2",
        "hf_hub_download_with_retries_and_cache()",
        "gsk_ is a prefix, and so are hf_, xai- and AIza",
        "AKIA is an airport nobody knows",
        "ghp_short, xoxb-1, ya29.x",
        "Masking: sk-proj-****************abcd",
        "MAIzaSyA0123456789abcdefghijklmnopqrstuv is in the middle of a word",
        "\xFF\xFE not even text",
        "A private key begins with -----BEGIN PRIVATE KEY----- and is kept under lock and key",
        "postgres://user:password@host/database, as the manual has it, or "
        "http://example.org:8080/@x",
        "https://user:PASSWORD@host, https://user:<password>@host, ftp://me:$SECRET_WORD@host",
        "postgres://user:{password}@host, //user:your-password@host, //user:********@host",
        "Basic responsibilities, Basic Understanding2: read; Basic AuthenticationHeaders",
        "a_long_snake_case_name_sk_learn and the file my_sk-learn-notes-of-2024-part-2.md",
        "A token begins with eyJ. So eyJhbGciOiJIUzI1NiJ9 alone is a header, eyJ.eyJ none",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
        "hgGAWjR9awAAAABJRU5ErkJggg==",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 is nothing's SHA-256",
        "\\frac{1}{2} \\neq 50% of \\\"x\\\", and %41%42%43 or \\u0041\\uD83D\\uDE00 \\u12 %4 %",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(redacted(rows[i]) == rows[i], "%s", redacted(rows[i])); /* no copy */
}
END_TEST

START_TEST(reads_bytes_and_no_byte_more)
{
    static const char text[] = "x\0" SECRET "\0y";
    size_t len;
    const char *out = redact(a, text, sizeof text - 1, &len);

    ck_assert_uint_eq(len, 2 + strlen("[REDACTED]") + 2);
    ck_assert_mem_eq(out, "x\0[REDACTED]\0y", len);
    out = redact(a, SECRET "0", strlen(SECRET) - 1, &len);
    ck_assert_uint_eq(len, strlen(SECRET) - 1); /* cut: no longer the secret */
    ck_assert_str_eq(out, SECRET "0");
    redact(a, "", 0, &len);
    ck_assert_uint_eq(len, 0);
}
END_TEST

static double seconds_for(const char *part, size_t len)
{
    struct buf *b = buf_create(a, len + strlen(part));
    struct timespec from, to;

    while (b->len < len)
        buf_puts(b, part);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    redact(a, buf_text(b), b->len, &len);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

/* What nearly is a key, over and over: work that grew with its square would take minutes. */
START_TEST(is_linear_in_hostile_texts)
{
    static const char *const parts[] = {
        "sk-",
        "sk-ant-",
        "-sk-a",
        "xoxb-",
        "Bearer ",
        "p\"w\\",
        "AKIA",
        "hf_",
        "aaaaaaaa",
        "c2st",
        "2d",
        "\\\\",
        "%25",
        "eyJ-.eyJ",
        "//a:a",
        "-----BEGIN PRIVATE KEY-----A ",
        "sk_sk-",
        "Basic YTph",
        "YTphYTphYTphYTphYTphYTphYTphYTphYTphYTphYTphYTphYTphYTphYTph\n"};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(seconds_for(parts[i], 1 << 18) < 10, "%s", parts[i]);
}
END_TEST

Suite *suite_redact(void)
{
    Suite *s = suite_create("redact");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, takes_out_secrets_as_they_are);
    tcase_add_test(t, takes_out_secrets_in_json);
    tcase_add_test(t, takes_out_secrets_in_urls);
    tcase_add_test(t, takes_out_secrets_in_base64_at_each_alignment);
    tcase_add_test(t, takes_out_the_longer_of_two_secrets);
    tcase_add_test(t, leaves_texts_too_short_for_secrets);
    tcase_add_test(t, takes_out_what_has_the_shape_of_a_key);
    tcase_add_test(t, takes_out_a_key_behind_what_was_taken_out);
    tcase_add_test(t, takes_out_the_password_of_a_url);
    tcase_add_test(t, takes_out_encoded_keys_wherever_they_stand);
    tcase_add_test(t, takes_out_keys_in_wrapped_base64);
    tcase_add_test(t, leaves_what_stands_beside_a_key);
    tcase_add_test(t, takes_out_a_secret_behind_an_address);
    tcase_add_test(t, leaves_what_it_wrote_itself);
    tcase_add_test(t, leaves_ordinary_words);
    tcase_add_test(t, reads_bytes_and_no_byte_more);
    tcase_add_test(t, is_linear_in_hostile_texts);
    suite_add_tcase(s, t);
    return s;
}
