/* uuid: identifiers, as their 36 lower-case characters. */
#ifndef COMMON_UUID_H
#define COMMON_UUID_H

#include <stdbool.h>

enum { UUID_SIZE = 37 };

void uuid_create(char out[UUID_SIZE]); /* version 4, from the kernel's random numbers */
bool uuid_valid(const char *s);        /* 8-4-4-4-12 hexadecimal digits of either case */

#endif
