/*
 * address: which addresses are on the public Internet.
 *
 * A provider's name is looked up again and again, and who answers may point it at our own network.
 * So it is the address that is judged, at the moment it is connected to. Who may call it all the
 * same is not known here.
 */
#ifndef GENERATOR_ADDRESS_H
#define GENERATOR_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/*
 * By the registries of special addresses of IANA (RFC 6890). An IPv6 address that stands for one of
 * IPv4 is what that is. False for families other than the two.
 */
bool address_is_public(const struct sockaddr *address);

#endif
