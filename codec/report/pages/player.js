// Several versions of one recording on one clock: which one is heard can change, the place does not.

// From data URIs: all versions are decoded, cut or padded to the first one's length, and started at one and the same
// time of one audio clock. Switching moves their gains only, so they stay together to the sample.
class DecodedVersions {
  static context = null; // made at the first use: browsers want a click before there is sound
  static FADE_SECONDS = 0.008; // a hard cut would click

  static async load(uris) {
    DecodedVersions.context ??= new AudioContext();
    const context = DecodedVersions.context;
    const decoded = await Promise.all(uris.map((uri) => context.decodeAudioData(bytesOf(uri))));
    return new DecodedVersions(context, decoded.map((buffer) => fitted(context, buffer, decoded[0].length)));
  }

  constructor(context, buffers) {
    this.context = context;
    this.buffers = buffers;
    this.duration = buffers[0].duration;
    this.selected = 0;
    this.looping = false;
    this.offset = 0; // seconds, where playing started, or rests
    this.sources = null; // while playing
    this.onended = () => {};
    this.gains = buffers.map((_, index) => {
      const gain = new GainNode(context, { gain: index === 0 ? 1 : 0 });
      gain.connect(context.destination);
      return gain;
    });
  }

  get playing() {
    return this.sources !== null;
  }

  get time() {
    if (!this.playing) return this.offset;
    const time = this.offset + Math.max(0, this.context.currentTime - this.startedAt);
    return this.looping ? time % this.duration : Math.min(time, this.duration);
  }

  async play() {
    await this.context.resume();
    if (this.playing) return;
    if (this.offset >= this.duration) this.offset = 0;
    this.startedAt = this.context.currentTime + 0.02;
    this.sources = this.buffers.map((buffer, index) => {
      const source = new AudioBufferSourceNode(this.context, { buffer, loop: this.looping });
      source.connect(this.gains[index]);
      source.start(this.startedAt, this.offset);
      return source;
    });
    this.sources[0].onended = () => this.finish();
  }

  finish() {
    this.pause();
    this.offset = 0;
    this.onended();
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.time;
    this.sources[0].onended = null;
    for (const source of this.sources) source.stop();
    this.sources = null;
  }

  seek(time) {
    const playing = this.playing;
    this.pause();
    this.offset = Math.min(Math.max(0, time), this.duration);
    if (playing) this.play();
  }

  select(index) {
    this.selected = index;
    const now = this.context.currentTime;
    this.gains.forEach(({ gain }, other) => {
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(gain.value, now);
      gain.linearRampToValueAtTime(other === index ? 1 : 0, now + DecodedVersions.FADE_SECONDS);
    });
  }

  loop(looping) {
    if (this.playing) {
      this.offset = this.time;
      this.startedAt = this.context.currentTime;
      for (const source of this.sources) source.loop = looping;
    }
    this.looping = looping;
  }
}

// From files beside the page, which a page opened from disk may play, but not read: audio elements that run together,
// all but one muted, and are put right at a switch where they have drifted.
class LinkedVersions {
  static DRIFT_SECONDS = 0.01;

  static async load(uris) {
    const elements = uris.map((uri) => new Audio(uri));
    await Promise.all(elements.map(ready));
    return new LinkedVersions(elements);
  }

  constructor(elements) {
    this.elements = elements;
    this.duration = elements[0].duration;
    this.selected = 0;
    this.looping = false;
    this.playing = false;
    this.onended = () => {};
    elements.forEach((element, index) => {
      element.muted = index !== 0;
      element.addEventListener("ended", () => this.finish(index));
    });
  }

  get time() {
    return this.elements[this.selected].currentTime;
  }

  async play() {
    if (this.time >= this.duration) this.seek(0);
    this.playing = true;
    await Promise.all(this.elements.map((element) => element.play()));
  }

  finish(index) {
    if (index !== this.selected || !this.playing) return;
    this.seek(0);
    if (this.looping) {
      this.play();
    } else {
      this.pause();
      this.onended();
    }
  }

  pause() {
    this.playing = false;
    for (const element of this.elements) element.pause();
  }

  seek(time) {
    for (const element of this.elements) element.currentTime = time;
  }

  select(index) {
    const time = this.time;
    const next = this.elements[index];
    if (Math.abs(next.currentTime - time) > LinkedVersions.DRIFT_SECONDS) next.currentTime = time;
    this.selected = index;
    this.elements.forEach((element, other) => (element.muted = other !== index));
    if (this.playing && next.paused && time < next.duration) next.play();
  }

  loop(looping) {
    this.looping = looping;
  }
}

function bytesOf(uri) {
  const text = atob(uri.slice(uri.indexOf(",") + 1));
  return Uint8Array.from(text, (character) => character.charCodeAt(0)).buffer;
}

function fitted(context, buffer, length) {
  if (buffer.length === length) return buffer;
  const copy = context.createBuffer(buffer.numberOfChannels, length, buffer.sampleRate);
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    copy.copyToChannel(buffer.getChannelData(channel).subarray(0, length), channel);
  }
  return copy;
}

function ready(element) {
  return new Promise((resolve, reject) => {
    element.preload = "auto";
    element.addEventListener("canplaythrough", resolve, { once: true });
    element.addEventListener("error", () => reject(new Error("a recording beside this page cannot be played")));
    element.load();
  });
}

function loadVersions(uris) {
  return uris[0].startsWith("data:") ? DecodedVersions.load(uris) : LinkedVersions.load(uris);
}

// The controls around the versions of one clip: play, place, loop. What is chosen is told by `select`.
class Player {
  constructor(root) {
    this.button = root.querySelector("[data-part=play]");
    this.slider = root.querySelector("[data-part=place]");
    this.clock = root.querySelector("[data-part=time]");
    this.looper = root.querySelector("[data-part=loop]");
    this.message = root.querySelector("[data-part=message]");
    this.versions = null;
    this.loading = null;
    this.uris = [];
    this.index = 0;
    this.seconds = 0;
    this.onprogress = () => {};
    this.button.addEventListener("click", () => this.toggle());
    this.slider.addEventListener("input", () => this.seek(this.seconds * this.slider.value / 1000));
    this.looper.addEventListener("change", () => this.versions?.loop(this.looper.checked));
  }

  // Change to another clip: nothing is decoded before it is played.
  open(uris, seconds) {
    this.versions?.pause();
    Object.assign(this, { uris, seconds, versions: null, loading: null, index: 0, place: 0 });
    this.message.textContent = "";
    this.draw();
  }

  get playing() {
    return this.versions?.playing ?? false;
  }

  get time() {
    return this.versions ? this.versions.time : this.place;
  }

  async toggle() {
    if (this.playing) {
      this.versions.pause();
      this.draw();
    } else {
      await this.play();
    }
  }

  async play() {
    const uris = this.uris;
    try {
      this.loading ??= loadVersions(uris);
      const versions = await this.loading;
      if (uris !== this.uris) return; // another clip was opened meanwhile
      if (!this.versions) {
        this.versions = versions;
        versions.onended = () => this.draw();
        versions.select(this.index);
        versions.loop(this.looper.checked);
        versions.seek(this.place);
      }
      await versions.play();
      this.follow();
    } catch (error) {
      this.loading = null;
      this.message.textContent = `This clip cannot be played: ${error.message}`;
    }
  }

  select(index) {
    this.index = index;
    this.versions?.select(index);
  }

  seek(time) {
    this.place = time;
    this.versions?.seek(time);
    this.draw();
  }

  follow() {
    this.draw();
    if (this.playing) requestAnimationFrame(() => this.follow());
  }

  draw() {
    const { time, seconds, playing } = this;
    this.button.textContent = playing ? "Pause" : "Play";
    this.slider.value = seconds ? Math.round((1000 * time) / seconds) : 0;
    this.slider.setAttribute("aria-valuetext", `${time.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
    this.clock.textContent = `${time.toFixed(1)} / ${seconds.toFixed(1)} s`;
    this.onprogress(seconds ? time / seconds : 0);
  }
}

Player.prototype.place = 0;

// Number keys choose a version, but only while the focus is in `root`; not where digits are typed.
function onDigit(root, choose) {
  root.addEventListener("keydown", (event) => {
    const typing = event.target.matches("select, textarea, input:not([type=radio], [type=range], [type=checkbox])");
    if (typing || event.ctrlKey || event.altKey || event.metaKey || !/^[0-9]$/.test(event.key)) return;
    event.preventDefault();
    choose(Number(event.key));
  });
}
