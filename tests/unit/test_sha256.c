#include "common/sha256.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/suites.h"

/* Of NIST's examples, and around the length at which the padding takes another block. */
static const struct {
    const char *text;
    size_t repeated;
    const char *hex;
} hashes[] = {
    {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnop"
     "qrsmnopqrstnopqrstu",
     1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {"a", 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
    {"a", 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
    {"a", 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
    {"a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
    {"a", 65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
    {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

START_TEST(hashes_as_the_standard_says)
{
    size_t part = strlen(hashes[_i].text), len = part * hashes[_i].repeated;
    char *text = malloc(len + 1), hex[SHA256_HEX_SIZE];

    for (size_t at = 0; at < len; at += part)
        memcpy(text + at, hashes[_i].text, part);
    sha256_hex(text, len, hex);
    free(text);
    ck_assert_str_eq(hex, hashes[_i].hex);
}
END_TEST

Suite *suite_sha256(void)
{
    Suite *s = suite_create("sha256");
    TCase *t = tcase_create("all");

    tcase_add_loop_test(t, hashes_as_the_standard_says, 0, sizeof hashes / sizeof *hashes);
    suite_add_tcase(s, t);
    return s;
}
