/*
 * banned.h - functions that have no place here; a call does not compile
 *
 * Included before everything else by cmake/House.cmake. The headers that declare them
 * come first, so that the poison does not strike those.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc has macros of these, depending on compiler and fortification */
#undef alloca
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets
#pragma GCC poison atoi atol atoll atof
#pragma GCC poison system popen fork vfork
#pragma GCC poison alloca tmpnam mktemp

#endif
