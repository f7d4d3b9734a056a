// The pages in browsers: a pose as `ditn predict` gives it, ten training steps, kernels, Verify, and what a page says where
// something is missing. DITN_PROGRAM is the program; DITN_BROWSERS names one browser of the two; DITN_SCREENSHOTS keeps pictures;
// DITN_EVERY=1 spares SwiftShader nothing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { browsers, result, serve } from './browser.js';
import { folder } from './bundle.js';

const program = process.env.DITN_PROGRAM ?? 'ditn';
const wanted = (process.env.DITN_BROWSERS ?? 'firefox,chromium').split(',');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'ditn-web-'));
/** Synthetic people in one picture; PNG, as browsers decode JPEG each in their own way. */
const picture = path.join(scratch, 'people.png');
const box = '60,40,70,110';
let expected;
before(() => {
  const run = (...words) => execFileSync(program, words, { stdio: ['ignore', 'pipe', 'inherit'] }).toString();
  run('people', picture, '--count', '6');
  expected = JSON.parse(run('predict', picture, '--box', box, '--out', path.join(scratch, 'poses'), '--json')).people[0].joints;
});
after(() => fs.rmSync(scratch, { recursive: true }));

for (const [name, launch] of Object.entries(browsers)) {
  const skip = !wanted.includes(name) ? 'not asked for' : launch ? false : `${name} is not installed`;
  // SwiftShader takes ten times as long; what it is spared here, dawn.test.js does on it.
  const isSlow = name === 'chromium' && process.env.DITN_EVERY !== '1';
  describe(name, { skip }, () => {
    let browser, site;
    before(async () => {
      browser = await launch();
      site = await serve({ extra: { 'people.png': picture } });
    });
    after(async () => {
      await browser?.close();
      site?.close();
    });

    test('a pose is that of the program within 1e-3 pixels', async () => {
      const opened = Date.now();
      const pose = await result(browser, `${site.address}/?picture=extra/people.png&box=${box}`, { picture: `${name}-pose` });
      console.log(`${name}: ${pose.adapter}, ${pose.plan}: open to first pose ${((Date.now() - opened) / 1e3).toFixed(1)} s, a frame ${pose.milliseconds.toFixed(0)} ms`);
      let furthest = 0;
      expected.forEach((joint, number) => {
        const [x, y] = pose.joints[number];
        furthest = Math.max(furthest, Math.hypot(x - joint.x, y - joint.y));
      });
      console.log(`${name}: joints within ${furthest.toExponential(1)} pixels`);
      assert.ok(furthest < 1e-3, `${furthest}`);
    });

    test('ten training steps lower the loss', { skip: isSlow }, async () => {
      const { losses, seconds_a_step, adapter } = await result(browser, `${site.address}/train.html?steps=10&run=1`, { picture: `${name}-train` });
      console.log(`${name}: ${adapter}: ${losses.map(([joints]) => joints.toFixed(4)).join(' ')}, ${seconds_a_step.toFixed(2)} s a step`);
      assert.equal(losses.length, 10);
      const mean = some => some.reduce((sum, [joints]) => sum + joints, 0) / some.length;
      assert.ok(mean(losses.slice(-3)) < mean(losses.slice(0, 3)));
    });

    test('kernels give what their references do', async () => {
      const { passed, failed, left_out, seconds } = await result(browser, `${site.address}/kernels.html?run=all&every=${isSlow ? 60 : 20}`, { picture: `${name}-kernels` });
      console.log(`${name}: ${passed} passed, ${failed.length} failed, ${left_out} left out in ${seconds.toFixed(1)} s`);
      assert.deepEqual(failed, []);
      assert.ok(passed > 0);
    });

    test('Verify is green', { skip: isSlow }, async () => {
      const verified = await result(browser, `${site.address}/verify.html?run=1`, { picture: `${name}-verify` });
      assert.ok(verified.passed, JSON.stringify(verified).slice(0, 2000));
    });
  });
}

describe('what a page says', { skip: browsers.chromium && wanted.includes('chromium') ? false : 'chromium is not installed or not asked for' }, () => {
  let browser;
  before(async () => {
    browser = await browsers.chromium();
  });
  after(() => browser?.close());

  /** The sentence of a page of a bundle that `answer` spoils. */
  async function said(where, answer, prepare) {
    const site = await serve({ answer, extra: { 'broken.jpg': path.join(folder, 'bundle.json') } });
    try {
      return (await result(browser, `${site.address}/${where}`, { seconds: 60, prepare })).error;
    } finally {
      site.close();
    }
  }
  const spoil = (file, spoiled) => (request, response) => {
    if (!request.url.split('?')[0].endsWith(file)) return false;
    spoiled(response, fs.readFileSync(path.join(folder, request.url.split('?')[0])));
    return true;
  };

  test('without WebGPU', async () => {
    const hidden = page => page.evaluateOnNewDocument(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined }));
    assert.match(await said('?picture=people.jpg&box=0,0,96,96', undefined, hidden), /no WebGPU/);
  });

  test('where the browser finds no GPU', async () => {
    const none = page => page.evaluateOnNewDocument(() => { GPU.prototype.requestAdapter = async () => null; });
    assert.match(await said('verify.html?run=1', undefined, none), /found no GPU/);
  });

  test('for a bundle of another version', async () => {
    const other = spoil('bundle.json', (response, bytes) => response.end(JSON.stringify({ ...JSON.parse(bytes), format: 7 })));
    assert.match(await said('verify.html?run=1', other), /format 7/);
  });

  test('for a file that is missing', async () => {
    const missing = spoil('weights.safetensors', response => response.writeHead(404).end());
    assert.match(await said('?picture=people.jpg&box=0,0,96,96', missing), /weights\.safetensors/);
  });

  test('for an unfinished download', async () => {
    const half = spoil('weights.safetensors', (response, bytes) => {
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, bytes.length >> 1));
      setTimeout(() => response.destroy(), 200);
    });
    assert.match(await said('?picture=people.jpg&box=0,0,96,96', half), /weights\.safetensors/);
  });

  test('for a picture that does not decode', async () => {
    assert.match(await said('?picture=extra/broken.jpg&box=0,0,96,96'), /picture/i);
  });
});
