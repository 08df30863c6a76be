/* One case as a text, which --problem takes and replay lines have; its parts, for who simplifies it. */
#ifndef CONFORM_PROBLEM_H
#define CONFORM_PROBLEM_H

#include "conform.h"

/* "gemm MxNxK AB OUT WORD...", "conv BxHxWxC OxKHxKW AB OUT WORD...", "quantize OUTERxAXISxINNER TYPE
 * WORD..." (dequantize ...), "map DIMS aSTRIDES [bSTRIDES] oSTRIDES WORD..." or "max_pool BxHxWxC KHxKW
 * TYPE WORD...": a word for each part that is not as usual. The data are not in it: --seed has theirs. */
void problem_print(const struct conform_case *c, char *text, size_t bytes);
/* False, and what is wrong, in words. */
bool problem_parse(const char *text, struct conform_case *c, char *wrong, size_t wrong_bytes);
/* Makes what follows from the other parts fit them, or says why there is no such case. */
bool problem_settle(struct conform_case *c, char *wrong, size_t wrong_bytes);

/* The words: how many, the part of which, and a case with one made as usual. */
enum problem_part {
    PART_RUNS, /* where operands lie, runs, threads: of all kinds */
    PART_WAY,  /* likewise, of some kinds; and tables */
    PART_VALUES,
    PART_OUTPUT,
    PART_ELEMENTS, /* of quantize and its kin */
    PART_CONV,
    PART_FILLS /* mixed is the usual one, not the simplest */
};
size_t problem_words(void);
enum problem_part problem_part(size_t word);
void problem_usual(struct conform_case *c, size_t word);

#endif
