// Goal: what only reads the configuration is no writer, and what might write it is one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stageOfUnit, userDataLine } from '../../../src/observe/config/cloud-init.ts';
import { writesBelow } from '../../../src/observe/config/writes.ts';

const config = '/etc/containerd/config.toml';
const writes = (text: string) => writesBelow('/etc/containerd/', text);

describe('a command that names the configuration', () => {
  const readers = [
    `/bin/cat ${config}`,
    `/bin/sh -c cat ${config}`,
    `ExecStart=-/bin/sh -c "cat ${config} | grep -q SystemdCgroup > /dev/null 2>&1"`,
    `if [ -f ${config} ]; then`,
    `if ! grep -q nvidia ${config}; then`,
    `test -f ${config} || systemctl restart containerd`,
    `/usr/bin/crictl --config /etc/containerd/crictl.yaml pods`,
    `cat ${config} >/tmp/copy`,
    `cp -a ${config} /root/backup/`,
    `sed -n s/x/y/p ${config}`,
    `v=$(awk '/version/ { print $3 }' ${config})`,
    `/usr/bin/containerd --config ${config} config dump`,
    `done < ${config}`,
    '/bin/cp /x /etc/other/config.toml',
  ];
  for (const each of readers) test(`reads: ${each}`, () => assert.equal(writes(each), false));

  const writers = [
    `/bin/sh -c cat >/tmp/x <<E\nversion = 2\n\nE\ncp /tmp/x ${config}`,
    `cat /x > ${config}`,
    `cat /x >>"${config}"`,
    `echo x >| ${config}`,
    `cat ${config} > $OUT`,
    `cat ${config} | tee /etc/containerd/other.toml`,
    `grep -q x ${config} || sed -i s/a/b/ ${config}`,
    `sed -Ei s/a/b/ ${config}`,
    `sed --in-place s/a/b/ ${config}`,
    `sed -n 's/a/b/w /x' ${config}`,
    `yq -i .a=1 ${config}`,
    `cp ${config} ${config}.bak`,
    `cp -t /etc/containerd/ /srv/config.toml /srv/x`,
    `cp ${config} /srv/../etc/containerd/other.toml`,
    `install -m 644 /x ${config}`,
    `mv /x ${config}`,
    `CONFIG=${config}`,
    `/opt/tool ${config}`,
    '/usr/bin/containerd config default',
    '/usr/bin/nvidia-ctk runtime configure --runtime=containerd',
    '/opt/kata-artifacts/scripts/kata-deploy.sh install',
    `cat /etc/hosts && true ; cat /y > ${config}`,
  ];
  for (const each of writers) test(`writes: ${each}`, () => assert.equal(writes(each), true));
});

describe('the stage of cloud-init', () => {
  const at = (text: string) => ({
    init: userDataLine(text, 'init', writes),
    final: userDataLine(text, 'final', writes),
  });
  const none = { init: undefined, final: undefined };
  const file = `write_files:\n- path: ${config}\n  content: |\n    config_path = "/etc/containerd/certs.d"\n`;

  test('write_files: the first, and the last where it is deferred', () => {
    assert.deepEqual(at(`#cloud-config\n${file}`), { ...none, init: 3 });
    assert.deepEqual(at(`#cloud-config\n${file}  defer: true\n- path: /x\n`), { ...none, final: 3 });
    assert.deepEqual(at(`#cloud-config\n${file}- path: /x\n  defer: true\n`), { ...none, init: 3 });
  });
  test('a script that is written: with who runs it', () => {
    const script = `write_files:\n  - path: /opt/setup\n    content: |\n      #!/bin/sh\n      cp /x ${config}\n`;
    assert.deepEqual(at(script), { ...none, final: 5 });
  });
  test('commands and scripts: the last; boot commands: the first', () => {
    assert.deepEqual(at(`#cloud-config\nruncmd:\n  - cp /x ${config}\n`), { ...none, final: 3 });
    assert.deepEqual(at(`#cloud-config\nbootcmd:\n  - cp /x ${config}\nruncmd:\n  - true\n`), { ...none, init: 3 });
    assert.deepEqual(at(`#!/bin/sh\ncp /x ${config}\n`), { ...none, final: 2 });
    assert.deepEqual(at(`#cloud-boothook\n#!/bin/sh\ncp /x ${config}\n`), { ...none, init: 3 });
    assert.deepEqual(at(`#cloud-config\n${file}--==b==\n#!/bin/sh\ncp /x /y\n`), { ...none, init: 3 });
  });
  test('a command that only reads, and a comment: neither', () => {
    assert.deepEqual(at(`#cloud-config\nruncmd:\n  - cat ${config}\n  # cp /x ${config}\n`), none);
  });
  test('is that of a unit', () => {
    const names = ['cloud-init-local', 'cloud-init', 'cloud-init-network', 'cloud-config', 'cloud-final'];
    assert.deepEqual(
      names.map((each) => stageOfUnit(`${each}.service`)),
      [undefined, 'init', 'init', undefined, 'final'],
    );
  });
});
