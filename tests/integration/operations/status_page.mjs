// Opens the status page in Chromium: node status_page.mjs URL WHAT [ARGUMENT...]. Prints what it finds as JSON.
import { chromium } from "playwright-core";

const [url, what, ...rest] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const problems = [];

async function open(width, height) {
	const page = await browser.newPage({ viewport: { width, height }, colorScheme: "light" });
	page.on("console", message => message.type() === "error" && problems.push(message.text()));
	page.on("pageerror", error => problems.push(String(error)));
	page.on("request", request => request.url().startsWith(url) || request.url().startsWith("data:") || problems.push(request.url()));
	page.on("dialog", dialog => { problems.push("dialog: " + dialog.message()); dialog.dismiss(); });
	await page.goto(url);
	await page.waitForSelector("[data-testid=table-events] table");
	return page;
}

const text = (page, id) => page.textContent(`[data-testid=${id}]`);

async function look(picture) {
	const page = await open(1280, 1240);
	if (picture) await page.screenshot({ path: picture, fullPage: false });
	return { state: await text(page, "state"), version: await text(page, "version"), pools: await text(page, "table-pools"),
		 tiles: await page.locator("#tiles .tile").count(), charts: await page.locator("#charts svg[role=img]").count(),
		 scripts: await page.locator("script").count(), trouble: await page.isVisible("#trouble"), problems };
}

// A page that is wider than its window, what is outside of it, the first cell of a statement's row, and the calls when sorted.
async function widths(...all) {
	const found = {};
	for (const width of all) {
		const page = await open(Number(width), 900);
		const calls = () => page.locator("#table-queries tbody tr td[data-label=calls]").allTextContents();
		const button = page.locator("#table-queries th button[name=calls]");
		await button.click();
		const descending = await calls();
		await button.click();
		found[width] = await page.evaluate(() => {
			const cells = [...document.querySelectorAll("#table-queries tbody tr:first-child td")].filter(cell => cell.offsetHeight > 0);
			cells.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
			return { overflow: document.documentElement.scrollWidth - window.innerWidth, first: cells[0].dataset.label,
				 outside: [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
					.map(e => e.tagName + " " + e.className) };
		});
		const focus = await page.evaluate(() => document.activeElement.name);
		Object.assign(found[width], { problems, calls: { descending, ascending: await calls(), focus } });
		await page.close();
	}
	return found;
}

const seen = page => page.evaluate(() => [document.getElementById("state").textContent, document.getElementById("age").textContent,
					  document.body.classList.contains("old")]);

// No request is answered any more, or each is refused; and then again they are.
async function silent(handler) {
	const page = await open(1280, 900);
	await page.waitForFunction(() => document.getElementById("state").textContent === "running");
	const before = await seen(page);
	await page.route("**/api/**", handler);
	await page.waitForFunction(() => document.body.classList.contains("old") && !document.getElementById("trouble").hidden);
	const during = await seen(page), trouble = await text(page, "trouble");
	const badge = await page.getAttribute("#state", "class");
	await page.waitForFunction(() => /answer: ./.test(document.getElementById("trouble").textContent)); // the request has ended
	await page.unroute("**/api/**");
	await page.waitForFunction(() => !document.body.classList.contains("old"));
	return { before, during, trouble, badge, after: await seen(page) };
}

async function alarm() {
	const page = await open(1280, 900);
	await page.waitForFunction(() => document.getElementById("trouble").textContent.includes("What helps"));
	const color = element => getComputedStyle(element).color;
	const bad = await page.evaluate(() => {
		const probe = document.body.appendChild(document.createElement("i"));
		probe.style.color = "var(--bad)";
		return getComputedStyle(probe).color;
	});
	return { reload: await text(page, "reload"), trouble: await text(page, "trouble"), bad,
		 alarm: await page.locator("#reload").evaluate(color) };
}

const actions = { look, widths, alarm, hangs: () => silent(() => {}), refuses: () => silent(route => route.abort()) };
console.log(JSON.stringify(await actions[what](...rest)));
await browser.close();
