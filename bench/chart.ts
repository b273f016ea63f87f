/** Curves as SVG, the same bytes for the same figures. */
import { LineChart, type LineSeriesOption } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { Curve } from "./report.ts";

const SIZE = { width: 860, height: 440 };
/** Readable on white and on black: the background is the reader's. */
const INK = "#808080";
const FAINT = "rgba(128,128,128,0.3)";
const LINES = ["#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#a855f7", "#06b6d4", "#84cc16", "#ec4899", "#78716c"];
/** A file has at most so many digits behind the point. */
const LONG_NUMBER = /\d+\.\d{3,}/g;

use([LineChart, GridComponent, LegendComponent, MarkLineComponent, TitleComponent, SVGRenderer]);

export function chart({ title, x, y, lines, bound }: Curve): string {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value));
  const wide = Math.max(...values) / Math.min(...values) > 50;
  const axis = { axisLine: { lineStyle: { color: INK } }, axisLabel: { color: INK } };
  const series = lines.map(({ name, points }, i): LineSeriesOption => ({
    type: "line",
    name,
    data: points,
    symbolSize: 6,
    ...(i === 0 && bound !== undefined ? { markLine: boundLine(bound) } : {}),
  }));
  const picture = init(undefined, undefined, { renderer: "svg", ssr: true, ...SIZE });
  picture.setOption({
    animation: false,
    color: LINES,
    textStyle: { fontFamily: "sans-serif" },
    title: { text: title, textStyle: { color: INK, fontSize: 15 } },
    legend: { bottom: 0, itemGap: 28, textStyle: { color: INK } },
    grid: { left: 60, right: 70, top: 60, bottom: 105 },
    xAxis: {
      type: "log",
      min: "dataMin",
      name: x,
      nameLocation: "middle",
      nameGap: 30,
      nameTextStyle: { color: INK },
      splitLine: { show: false },
      ...axis,
    },
    yAxis: {
      type: wide ? "log" : "value",
      min: wide ? 10 ** Math.floor(Math.log10(Math.min(...values))) : 0,
      name: y,
      nameTextStyle: { color: INK, align: "left" },
      splitLine: { lineStyle: { color: FAINT } },
      ...axis,
    },
    series,
  });
  const svg = picture.renderToSVGString();
  picture.dispose();
  return `${svg.replaceAll(LONG_NUMBER, (digits) => String(Number(Number(digits).toFixed(2))))}\n`;
}

function boundLine(value: number): LineSeriesOption["markLine"] & object {
  return {
    silent: true,
    symbol: "none",
    data: [{ yAxis: value }],
    lineStyle: { color: INK, type: "dashed" },
    label: { color: INK, formatter: `≤ ${value}` },
  };
}
