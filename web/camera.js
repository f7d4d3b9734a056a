// @ts-check
// The webcam: one frame at a time, the newest.

import { Refusal } from './runtime.js';
import { Picture } from './picture.js';

/** A camera that is on. */
export class Camera {
  /** Asks for a camera; the promise fails with a `Refusal`. @param {string} [device] its id, or whichever the browser likes */
  static async open(device) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Refusal('This browser lets this page use no camera: it does so only on https:// and on localhost.');
    }
    let stream;
    try {
      const which = device === undefined ? { facingMode: 'user' } : { deviceId: { exact: device } };
      const video = { ...which, width: { ideal: 640 }, height: { ideal: 480 } };
      stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      const name = error instanceof Error ? error.name : '';
      throw new Refusal(name === 'NotAllowedError'
        ? 'The camera is not allowed: allow it for this page in the browser, and start it again.'
        : name === 'NotFoundError' || name === 'OverconstrainedError'
        ? 'There is no such camera: connect one, and start it again.'
        : name === 'NotReadableError'
        ? 'The camera does not start: another program may be using it. Close that, and start it again.'
        : `The camera does not start: ${error instanceof Error ? error.message : error}`);
    }
    const camera = new Camera(stream);
    try {
      await camera.video.play();
    } catch (error) {
      camera.stop();
      throw new Refusal(`The camera gives no picture: ${error instanceof Error ? error.message : error}`);
    }
    return camera;
  }

  /** @param {MediaStream} stream */
  constructor(stream) {
    this.stream = stream;
    this.video = document.createElement('video');
    Object.assign(this.video, { muted: true, playsInline: true, srcObject: stream });
    /** @type {Picture | undefined} */ this.picture = undefined;
    this.isOn = true;
    const [track] = stream.getVideoTracks();
    this.device = track?.getSettings().deviceId;
    this.ended = new Promise(resolve => {
      this.end = resolve;
      track?.addEventListener('ended', () => this.stop());
    });
  }

  /** The next frame, in the same `Picture` each time, or undefined once the camera is off. */
  async frame() {
    const { video } = this;
    const next = new Promise(resolve => {
      if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(resolve);
      else requestAnimationFrame(resolve);
    });
    await Promise.race([next, this.ended]);
    if (!this.isOn || video.videoWidth === 0) return undefined;
    if (this.picture?.width !== video.videoWidth || this.picture.height !== video.videoHeight) {
      this.picture = new Picture(video.videoWidth, video.videoHeight);
    }
    this.picture.context.drawImage(video, 0, 0);
    return this.picture;
  }

  /** Turns it off, and its light. */
  stop() {
    this.isOn = false;
    this.stream.getTracks().forEach(track => track.stop());
    this.video.srcObject = null;
    this.end?.(undefined);
  }

  /** Ids of all cameras: known once one has been allowed. */
  static async list() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId !== '').map(({ deviceId }) => deviceId);
  }
}
