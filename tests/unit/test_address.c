#include "fcgi/lessons/generator/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "tests/unit/suites.h"

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_public((const struct sockaddr *)&v4);
    ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return address_is_public((const struct sockaddr *)&v6);
}

/* The first and the last of each block. */
START_TEST(refuses_what_is_not_public)
{
    static const char *const rows[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a01:203::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(!is_public(rows[i]), "%s", rows[i]);
}
END_TEST

/* The neighbours of the blocks. */
START_TEST(takes_what_is_public)
{
    static const char *const rows[] = {
        "1.0.0.0",          "8.8.8.8",
        "9.255.255.255",    "11.0.0.0",
        "100.63.255.255",   "100.128.0.0",
        "126.255.255.255",  "128.0.0.0",
        "169.253.255.255",  "169.255.0.0",
        "172.15.255.255",   "172.32.0.0",
        "192.0.1.0",        "192.0.3.0",
        "192.88.98.255",    "192.167.255.255",
        "192.169.0.0",      "198.17.255.255",
        "198.20.0.0",       "198.51.101.0",
        "203.0.112.255",    "203.0.114.0",
        "223.255.255.255",  "2000::1",
        "2001:200::1",      "2001:4860:4860::8888",
        "2001:db7:ffff::1", "2001:db9::1",
        "2606:4700::1111",  "3ffe::1",
        "3fff:1000::1",     "::ffff:8.8.8.8",
        "64:ff9b::808:808", "2002:808:808::1",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(is_public(rows[i]), "%s", rows[i]);
}
END_TEST

START_TEST(refuses_other_families)
{
    ck_assert(!address_is_public(&(struct sockaddr){.sa_family = AF_UNIX}));
    ck_assert(!address_is_public(&(struct sockaddr){.sa_family = AF_UNSPEC}));
}
END_TEST

Suite *suite_address(void)
{
    Suite *s = suite_create("address");
    TCase *t = tcase_create("all");

    tcase_add_test(t, refuses_what_is_not_public);
    tcase_add_test(t, takes_what_is_public);
    tcase_add_test(t, refuses_other_families);
    suite_add_tcase(s, t);
    return s;
}
