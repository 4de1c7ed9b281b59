// Opens the status page in Chromium: node status_page.mjs URL [screenshot.png]. Prints what it finds as JSON.
import { chromium } from "playwright-core";

const [url, screenshot] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 1240 }, colorScheme: "light" });
const problems = [];
page.on("console", message => message.type() === "error" && problems.push(message.text()));
page.on("pageerror", error => problems.push(String(error)));
page.on("request", request => request.url().startsWith(url) || request.url().startsWith("data:") || problems.push(request.url()));
page.on("dialog", dialog => { problems.push("dialog: " + dialog.message()); dialog.dismiss(); });
await page.goto(url);
await page.waitForSelector("[data-testid=table-events] table");
const text = id => page.textContent(`[data-testid=${id}]`);
const found = { state: await text("state"), version: await text("version"), pools: await text("table-pools"),
		tiles: await page.locator("#tiles .tile").count(), charts: await page.locator("#charts svg").count(),
		scripts: await page.locator("script").count(), trouble: await page.isVisible("#trouble"), problems };
if (screenshot) await page.screenshot({ path: screenshot, fullPage: false });
await browser.close();
console.log(JSON.stringify(found));
