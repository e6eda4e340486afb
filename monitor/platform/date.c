/*
 * date: see date.h. Years are counted from March, so that the leap day is the last of its year.
 */
#include "monitor/platform/date.h"

#define SECONDS_PER_DAY 86400u
#define DAYS_PER_ERA 146097u /* 400 years */
#define YEARS_PER_ERA 400u
#define EPOCH_FROM_MARCH_0 719468u /* days from 0000-03-01 to 1970-01-01 */
#define EPOCH_YEAR 1970u
#define MONTH_OF_MARCH 3u
#define THURSDAY 4u /* 1970-01-01, Sunday being 0 */

/* Days from March 1 to the first of the month that is `m` months later: 31 30 31 30 31 repeating. */
static u32 days_before_month(u32 m) { return (153 * m + 2) / 5; }

void date_from_seconds(struct date *d, u64 seconds)
{
	u32 rest = (u32)(seconds % SECONDS_PER_DAY);
	u64 days = seconds / SECONDS_PER_DAY + EPOCH_FROM_MARCH_0;
	u32 day_of_era = (u32)(days % DAYS_PER_ERA);
	u32 year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	u32 day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
	u32 month = (5 * day_of_year + 2) / 153;

	d->hour = rest / 3600;
	d->minute = rest / 60 % 60;
	d->second = rest % 60;
	d->weekday = (u32)((seconds / SECONDS_PER_DAY + THURSDAY) % 7) + 1;
	d->day = day_of_year - days_before_month(month) + 1;
	d->month = month < 10 ? month + MONTH_OF_MARCH : month - 9;
	d->year = (u32)(days / DAYS_PER_ERA) * YEARS_PER_ERA + year + (d->month < MONTH_OF_MARCH);
}

u64 date_to_seconds(const struct date *d)
{
	u32 month = (d->month + 11) % 12; /* from January = 0, whatever was given */
	u32 from_march = (month + 10) % 12;
	u32 year = d->year - (month < 2);
	u64 days = (u64)(year / YEARS_PER_ERA) * DAYS_PER_ERA;

	if (d->year < EPOCH_YEAR)
		return 0;
	year %= YEARS_PER_ERA;
	days += 365 * (u64)year + year / 4 - year / 100 + days_before_month(from_march) + (u64)d->day;
	return (days - EPOCH_FROM_MARCH_0 - 1) * SECONDS_PER_DAY + d->hour * 3600ull + d->minute * 60ull + d->second;
}
