
import { chromium } from "playwright-core";
const [url, seconds] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
let bytes = 0, statuses = 0;
page.on("response", async response => {
	statuses += response.url().endsWith("/status");
	try { bytes += (await response.body()).length; } catch { /* the page is gone */ }
});
await page.goto(url);
await page.waitForSelector("[data-testid=table-pools] tr:nth-child(100)");
const cdp = await page.context().newCDPSession(page);
await cdp.send("Performance.enable");
const look = async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map(m => [m.name, m.value]));
const before = await look(), bytesBefore = bytes, statusesBefore = statuses;
await page.waitForTimeout(1000 * Number(seconds));
const after = await look(), rounds = statuses - statusesBefore;
const per = name => (after[name] - before[name]) / rounds * 1000;
console.log(JSON.stringify({ rounds, task_ms: per("TaskDuration"), script_ms: per("ScriptDuration"), layout_ms: per("LayoutDuration"),
	style_ms: per("RecalcStyleDuration"), kB: (bytes - bytesBefore) / rounds / 1000 }));
await browser.close();
