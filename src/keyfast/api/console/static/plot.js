// Draws the JSON twin of a page's table. Without this file, or without the numbers, the table is there.
"use strict";
document.querySelectorAll("[data-plot]").forEach(async (place) => {
  const answer = await fetch(place.dataset.plot, { credentials: "same-origin" });
  if (!answer.ok) { return; }
  const { at, series } = await answer.json();
  if (at.length < 2) { return; }
  const colours = getComputedStyle(document.documentElement);
  const colour = (name) => () => colours.getPropertyValue(name).trim();  // asked anew: light may turn dark meanwhile
  const two = (number) => String(number).padStart(2, "0");
  const day = (date) => `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
  const clock = (date) => `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  const inDays = at[at.length - 1] - at[0] > 3 * 86400;
  const said = (moment) => { const date = new Date(moment * 1000); return inDays ? day(date) : clock(date); };
  const whole = (moment) => { const date = new Date(moment * 1000); return `${day(date)} ${clock(date)} UTC`; };
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
  const strokes = [colour("--accent"), colour("--warn"), colour("--good"), colour("--bad")];
  const scales = [...new Set(series.map((one) => one.unit || one.label))];
  place.hidden = false;
  const plot = new uPlot({
    width: place.clientWidth,
    height: 240,
    legend: { live: true },
    tzDate: (moment) => uPlot.tzDate(new Date(moment * 1000), "Etc/UTC"),
    series: [{ value: (_, moment) => (moment ? whole(moment) : "") }, ...series.map((one, number) => ({
      label: one.label, stroke: strokes[number % 4], width: 2, scale: one.unit || one.label, points: { show: at.length < 60 },
    }))],
    axes: [{ ...axis, values: (_, moments) => moments.map(said) }, ...scales.slice(0, 2).map((scale, number) => ({
      ...axis, scale, side: number ? 1 : 3, grid: number ? { show: false } : axis.grid,
      stroke: scales.length > 1 ? strokes[number] : axis.stroke,
    }))],
  }, [at, ...series.map((one) => one.values)], place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw(false));
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 240 })).observe(place);
});
