/*
 * interrupt.h - Ctrl-C, while something is watched or done
 *
 * All signals are blocked; one thread takes them. Outside of a scope Ctrl-C ends the program with
 * 130, as one expects. Within interrupt_begin() .. interrupt_end() it is remembered and `wake` runs
 * on that thread: it cancels the call that is being waited for. A second Ctrl-C ends the program
 * in any case. Ctrl-Z stops it as ever, with the terminal in order.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>

/* First in main. */
void interrupt_start(void);
/* wake may be NULL. Scopes do not nest. */
void interrupt_begin(void (*wake)(void *arg), void *arg);
void interrupt_end(void);
bool interrupted(void);
/* Waits at most ms; true when interrupted. */
bool interrupt_sleep(int ms);
/* Run before the program ends because of a signal, or is stopped (Ctrl-Z): the terminal is put in
 * order. NULL: nothing. */
void interrupt_on_exit(void (*fn)(void));
/* How often the program went on after a stop: what stood on the terminal then may be gone. */
unsigned interrupt_resumed(void);

#endif
