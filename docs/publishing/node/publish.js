#!/usr/bin/env node
// Asks Holdfast for a backup of a job.
//
//     AMQP_URL=amqp://USER:PASSWORD@HOST/VIRTUAL_HOST ./publish.js JOB [ID]
//
// ID is a UUID and makes it idempotent: however often it is published, the task runs once. Without it a new one is made, and
// printed before anything is sent. TRACEPARENT names the trace that the task is to belong to; without it a new one begins.
//
// Ends with 0 when the broker has taken the message, with 1 when that is not known (then publish again with the same ID), with
// 2 when the arguments are wrong. Needs amqplib: `npm ci` beside this file.
'use strict';

const { randomBytes } = require('node:crypto');
const amqp = require('amqplib');

const EXCHANGE = 'holdfast.tasks';
const ROUTING_KEY = 'backup.normal';
// A broker that is short of memory or disk blocks its publishers: it is waited for, and not for ever.
const PATIENCE = 30_000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

// A new id that sorts by its time.
function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function newTrace() {
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
}

// Ends when the broker has taken responsibility for the message.
async function publish(url, job, task, traceparent) {
  const connection = await amqp.connect(url, { clientProperties: { connection_name: 'publish.js' }, timeout: PATIENCE });
  try {
    const channel = await connection.createConfirmChannel();
    await new Promise((resolve, reject) => {
      // Without these a fault would end the process without a word.
      connection.on('error', reject);
      channel.on('error', reject);
      channel.on('close', () => reject(new Error('the broker closed the channel')));
      const blocked = 'the broker did not confirm it in time: it may be short of memory or disk';
      setTimeout(() => reject(new Error(blocked)), PATIENCE).unref();
      // The broker returns what no queue takes before it confirms it.
      channel.on('return', () => reject(new Error('no queue takes it')));
      const body = {
        version: 1,
        id: task,
        kind: 'backup',
        job,
        enqueued_at: new Date().toISOString(),
        requested_by: 'publish.js',
      };
      const options = {
        contentType: 'application/json',
        persistent: true, // kept through a restart of the broker
        mandatory: true,
        messageId: task,
        timestamp: Math.floor(Date.now() / 1000),
        headers: { traceparent },
      };
      const confirmed = (refused) =>
        refused ? reject(new Error('the broker refused it: its queue may be full')) : resolve();
      channel.publish(EXCHANGE, ROUTING_KEY, Buffer.from(JSON.stringify(body)), options, confirmed);
    });
  } finally {
    // A blocked broker answers nothing more, and the end of the process closes the connection as well.
    const moment = new Promise((resolve) => setTimeout(resolve, 1000).unref());
    await Promise.race([connection.close().catch(() => {}), moment]);
  }
}

async function main() {
  const [job, id, ...more] = process.argv.slice(2);
  const url = process.env.AMQP_URL;
  if (!url) {
    console.error('publish.js: AMQP_URL is not set');
    return 2;
  }
  if (!job || more.length > 0 || !NAME.test(job)) {
    console.error('usage: publish.js JOB [ID]');
    return 2;
  }
  if (id !== undefined && !UUID.test(id)) {
    console.error(`publish.js: ${id} is not a UUID`);
    return 2;
  }
  const task = id ?? uuid7();
  console.log(task);
  try {
    await publish(url, job, task, process.env.TRACEPARENT || newTrace());
    return 0;
  } catch (error) {
    console.error(`publish.js: ${error.message}; publish again with the id ${task}`);
    return 1;
  }
}

main().then((code) => process.exit(code));
