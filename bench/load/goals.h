/*
 * goals.h - a function a goal of SPEED.md; each opens what it needs and leaves nothing
 */
#ifndef LOAD_GOALS_H
#define LOAD_GOALS_H

void goal_throughput(void);  /* 1 */
void goal_latency(void);     /* 3 */
void goal_submissions(void); /* 4 */
void goal_queued(void);	     /* 5 */
void goal_log_rate(void);    /* 6 */
void goal_printing(void);    /* 7 */
void goal_log_latency(void); /* 8 */
void goal_upload(void);	     /* 9 */
void goal_tree(void);	     /* 10 */
void goal_known(void);	     /* 11 */
void goal_peak(void);	     /* 12 */
void goal_idle(void);	     /* 13 */
void goal_agents(void);	     /* 14 */
void goal_kill(void);	     /* 15 */

#endif
