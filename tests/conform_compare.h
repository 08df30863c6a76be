#ifndef CONFORM_COMPARE_H
#define CONFORM_COMPARE_H

/* Prints what changed between two reports; json: NULL, or a file for it. Returns the exit status. */
int compare_main(const char *old, const char *new, const char *json);

#endif
