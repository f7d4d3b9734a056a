// The pages in a real browser: Firefox on the Vulkan driver of the machine, or Chromium on SwiftShader.

import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import puppeteer from 'puppeteer-core';
import { folder } from './bundle.js';

const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.jpg': 'image/jpeg', '.png': 'image/png' };

/** Where screenshots go. */
const pictures = process.env.DITN_SCREENSHOTS;

/**
 * Serves the bundle, and under /extra/ the files of `extra` by name. `answer` may answer in its stead by returning true.
 * @param {{extra?: Record<string, string>, answer?: (request: any, response: any) => boolean}} [options]
 */
export async function serve({ extra = {}, answer } = {}) {
  const server = http.createServer((request, response) => {
    if (answer?.(request, response)) return;
    const name = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const file = name.startsWith('/extra/') ? extra[name.slice('/extra/'.length)] : path.join(folder, name.endsWith('/') ? `${name}index.html` : name);
    fs.readFile(file ?? '', (error, bytes) => {
      response.writeHead(error ? 404 : 200, { 'content-type': types[path.extname(file ?? '')] ?? 'application/octet-stream' });
      response.end(bytes);
    });
  });
  await new Promise(resolve => server.listen(0, 'localhost', resolve));
  return { address: `http://localhost:${server.address().port}`, close: () => server.close() };
}

const firefox = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(fs.existsSync);
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(fs.existsSync);

/** How each browser that is here is started. */
export const browsers = {
  firefox: firefox && (() => puppeteer.launch({
    browser: 'firefox', executablePath: firefox, headless: true, protocolTimeout: 600_000,
    // Its sandboxes keep it from the files of a software driver.
    env: { ...process.env, HOME: fs.mkdtempSync(path.join(os.tmpdir(), 'ditn-firefox-')), MOZ_DISABLE_CONTENT_SANDBOX: '1', MOZ_DISABLE_GPU_SANDBOX: '1' },
    extraPrefsFirefox: { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true, 'gfx.webrender.software': true },
  })),
  chromium: chromium && (() => puppeteer.launch({
    executablePath: chromium, headless: true, protocolTimeout: 600_000,
    args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'],
  })),
};

/**
 * Opens a page and waits for its result.
 * @param {import('puppeteer-core').Browser} browser @param {string} url @param {{seconds?: number, picture?: string,
 *   prepare?: (page: any) => Promise<void>}} [options] `picture` names a screenshot
 */
export async function result(browser, url, { seconds = 300, picture, prepare } = {}) {
  const page = await browser.newPage(), problems = [];
  page.on('pageerror', error => problems.push(String(error)));
  try {
    await page.setViewport({ width: 1280, height: 900 });
    await prepare?.(page);
    await page.goto(url);
    await page.waitForFunction(() => document.documentElement.dataset.result !== undefined, { timeout: 1000 * seconds, polling: 200 });
    const text = await page.evaluate(() => document.documentElement.dataset.result);
    if (picture && pictures) {
      fs.mkdirSync(pictures, { recursive: true });
      await page.screenshot({ path: path.join(pictures, `${picture}.png`), fullPage: true });
    }
    if (problems.length > 0) throw new Error(problems.join('; '));
    return JSON.parse(text);
  } finally {
    await page.close();
  }
}
