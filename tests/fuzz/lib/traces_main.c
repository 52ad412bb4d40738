/* The program without its beginning: main() gives its routes to http_run(), which is the target's.
 */
int traces_main(int argc, char *argv[]);
#define main traces_main
#include "fcgi/traces/main.c"
