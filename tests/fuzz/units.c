/*
 * Durations and sizes as people write them: any text is read or refused, and
 * what is read can be shown and, where nothing was cut, read again.
 */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup(freep) char *text = xstrndup((const char *)data, size);
	struct error err = { 0 };
	char shown[CLOCK_TEXT];
	int64_t ms = -1, again = -1;
	uint64_t bytes = 0;

	if (duration_parse(text, &ms, &err) == 0) {
		assert(ms >= 0);
		assert(duration_parse(duration_format(ms, shown), &again, &err) == 0 ||
		       strchr(shown, '.'));
		assert(strchr(shown, '.') || (again <= ms && ms - again < 86400000));
	} else {
		assert(ms == -1 && err.code == ERR_INVALID && *err.hint);
	}
	error_clear(&err);
	if (size_parse(text, &bytes, &err) == 0)
		assert(strlen(size_format(bytes, shown)) < CLOCK_TEXT);
	else
		assert(bytes == 0 && err.code == ERR_INVALID && *err.hint);
	return 0;
}
