// Goal: the page is for everybody: nothing is loaded, nothing runs, light and dark, on a telephone, with a screen
// reader. Method: a real browser, without a network, and axe's rules.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { incidentHtml } from '../../src/cli/render/incident-html.ts';
import { readIncident } from '../../src/diagnose/incident/incident.ts';
import { tempDir } from '../helpers/temp.ts';
import { loopStory, moment } from '../helpers/timelines.ts';

const program = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const skip = program === undefined ? 'no chromium is installed (apt-get install chromium)' : false;
const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
const html = incidentHtml(readIncident(loopStory()), loopStory(), moment(2, 1).wallNs);

interface Found {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
}

/** Opens the page, collects what it asks of the network and what the browser complains of, and hands it on. */
async function withPage(
  options: { readonly width: number; readonly scheme: 'light' | 'dark' },
  work: (page: Page) => Promise<void>,
): Promise<{ asked: string[]; complaints: string[] }> {
  await using dir = await tempDir();
  const path = dir.join('incident.html');
  writeFileSync(path, html);
  const browser: Browser = await chromium.launch({ executablePath: program ?? '', args: ['--no-sandbox'] });
  try {
    // axe is put in from outside, which the page's own policy rightly forbids.
    const context = await browser.newContext({
      viewport: { width: options.width, height: 800 },
      colorScheme: options.scheme,
      bypassCSP: true,
      offline: true,
    });
    const page = await context.newPage();
    const [asked, complaints]: [string[], string[]] = [[], []];
    page.on('request', (request) => asked.push(request.url()));
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(pathToFileURL(path).href);
    await work(page);
    return { asked: asked.filter((each) => !each.startsWith('file://')), complaints };
  } finally {
    await browser.close();
  }
}

describe('the incident page in a browser', { skip }, () => {
  for (const scheme of ['light', 'dark'] as const) {
    test(`${scheme}: nothing is asked of anybody, and axe finds nothing`, async () => {
      const { asked, complaints } = await withPage({ width: 1_000, scheme }, async (page) => {
        await page.evaluate(axe);
        const found = (await page.evaluate('axe.run()')) as Found;
        const told = found.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`);
        assert.deepEqual(told, []);
        const [ink, paper] = await page.evaluate<string[]>(
          '[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]',
        );
        assert.notEqual(ink, paper);
        assert.equal(paper, scheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(13, 17, 23)');
      });
      assert.deepEqual([asked, complaints], [[], []]);
    });
  }

  for (const width of [320, 360]) {
    test(`${width} px: nothing is wider than the screen, and the words in the picture can be read`, async () => {
      await withPage({ width, scheme: 'light' }, async (page) => {
        assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width);
        const px = await page.evaluate<number>(
          `Math.min(...[...document.querySelectorAll('svg.ring .words')].map((each) => each.getBoundingClientRect().height))`,
        );
        assert.ok(px >= 11, `${px} px`);
      });
    });
  }

  test('without our hand in it the policy forbids even a script that stands in the page', async () => {
    await using dir = await tempDir();
    const path = dir.join('evil.html');
    writeFileSync(
      path,
      html.replace('<main>', '<main><script>document.title = "run"</script><img src="http://127.0.0.1:9/x">'),
    );
    const browser = await chromium.launch({ executablePath: program ?? '', args: ['--no-sandbox'] });
    try {
      const page = await browser.newPage();
      const refused: string[] = [];
      page.on('console', (message) => refused.push(message.text()));
      await page.goto(pathToFileURL(path).href);
      assert.notEqual(await page.title(), 'run');
      assert.ok(
        refused.length >= 2 && refused.every((each) => /Content Security Policy/.test(each)),
        refused.join('\n'),
      );
    } finally {
      await browser.close();
    }
  });
});
