/* The smallest case that fails as a given one does: each try in a child of its own. */
#ifndef CONFORM_SHRINK_H
#define CONFORM_SHRINK_H

#include "conform.h"

/* The case of a failed result made smaller for at most so many seconds; into result->smallest. */
void shrink(const struct options *o, const struct conform_case *c, double seconds,
            struct result *result);

#endif
