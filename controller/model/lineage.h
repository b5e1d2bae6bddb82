/*
 * lineage.h - where the parts of a release come from, as far as the rows of artifacts say
 */
#ifndef MODEL_LINEAGE_H
#define MODEL_LINEAGE_H

#include "controller/model/world.h"

/* Parts that share an ancestor must come from the same version of it. -1 names both. */
int lineage_check_parts(struct world *w, const Sluice__V1__Release *row, struct error *err);
/* The oldest of the newest records of all data it came from; 0: not known. */
int64_t lineage_data_until(struct world *w, const Sluice__V1__Release *row);

#endif
