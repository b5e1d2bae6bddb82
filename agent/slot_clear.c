/*
 * Ending a run that is nobody's: asked for its end first, killed after a second.
 */
#include "agent/slot_clear.h"

#include "base/clock.h"
#include "base/log.h"

enum { GRACE_MS = 1000, PATIENCE_MS = 15000 };

int slot_clear(struct slot *slot, struct error *err)
{
	int64_t until = clock_boot_ms() + PATIENCE_MS, left;
	uint64_t fence = slot_status(slot)->fence;
	struct slot_event event;

	if (slot_fd(slot) < 0 || !fence || slot_status(slot)->phase == SHIM_IDLE)
		return 0;
	log_warn("ending '%s' in slot '%s', which nothing here knows", slot_status(slot)->name,
		 slot_name(slot));
	if (slot_signal(slot, fence, SHIM_STOPPED, GRACE_MS, err) < 0)
		return -1;
	while ((left = until - clock_boot_ms()) > 0) {
		int n = slot_wait(slot, (int)left, &event, err);

		if (n < 0)
			return -1;
		if (n > 0 &&
		    (event.kind == SLOT_GONE || (event.kind == SLOT_EXITED && !event.unwritten)))
			return 0;
	}
	return error_set(err, ERR_TIMEOUT, "what runs in slot '%s' does not end", slot_name(slot));
}
