#include "fcgi/lessons/generator/address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

struct block {
    unsigned char bytes[16];
    unsigned bits;
};

/* What of IPv4 is not for everybody. */
static const struct block special4[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* shared, behind a carrier's NAT */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link-local: and where clouds tell a machine its secrets */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocols */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* relays of 6to4 */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarks */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, and broadcast */
};

/* Global unicast, the only part of IPv6 that is; and what of it is not. */
static const struct block global6 = {{0x20}, 3};
static const struct block special6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocols, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

/* An address of IPv4 stands in these behind the block. */
static const struct block embedding6[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, /* mapped */
    {{0x00, 0x64, 0xff, 0x9b}, 96},                   /* NAT64 */
    {{0x20, 0x02}, 16},                               /* 6to4 */
};

static bool is_in(const struct block *b, const unsigned char *address)
{
    unsigned whole = b->bits / 8, rest = b->bits % 8;

    return memcmp(address, b->bytes, whole) == 0 &&
           (rest == 0 || ((address[whole] ^ b->bytes[whole]) >> (8 - rest)) == 0);
}

static bool is_in_any(const struct block blocks[], size_t count, const unsigned char *address)
{
    for (size_t i = 0; i < count; i++)
        if (is_in(&blocks[i], address))
            return true;
    return false;
}

static bool is_public4(const unsigned char *address)
{
    return !is_in_any(special4, sizeof special4 / sizeof *special4, address);
}

static bool is_public6(const unsigned char *address)
{
    for (size_t i = 0; i < sizeof embedding6 / sizeof *embedding6; i++)
        if (is_in(&embedding6[i], address))
            return is_public4(address + embedding6[i].bits / 8);
    return is_in(&global6, address) &&
           !is_in_any(special6, sizeof special6 / sizeof *special6, address);
}

bool address_is_public(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    switch (address->sa_family) {
    case AF_INET:
        memcpy(&v4, address, sizeof v4);
        return is_public4((const unsigned char *)&v4.sin_addr);
    case AF_INET6:
        memcpy(&v6, address, sizeof v6);
        return is_public6(v6.sin6_addr.s6_addr);
    default:
        return false;
    }
}
