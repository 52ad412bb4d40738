/*
 * floor: what FastCGI itself costs. A responder of libfcgi that does nothing but answer, with a
 * body of so many bytes.
 *
 *   floor BYTES
 */
#include <fcgiapp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 64 << 20 };

int main(int argc, char *argv[])
{
    long size = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    FCGX_Request request;
    char *body;

    if (size < 2 || size > BODY_MAX) {
        fprintf(stderr, "floor: a number of bytes expected, from 2 to %d\n", BODY_MAX);
        return 2;
    }
    body = malloc((size_t)size);
    if (body == NULL || FCGX_Init() != 0 || FCGX_InitRequest(&request, 0, 0) != 0)
        return 1;
    memset(body, 'x', (size_t)size);
    body[0] = body[size - 1] = '"';
    while (FCGX_Accept_r(&request) == 0) {
        FCGX_FPrintF(request.out, "Content-Type: application/json\r\nContent-Length: %ld\r\n\r\n",
                     size);
        FCGX_PutStr(body, (int)size, request.out);
        FCGX_Finish_r(&request);
    }
    return 0;
}
