//! A minimal Redis connection: pipelined commands out, RESP2 replies in. Only what the streams
//! scenarios need. Called by `brokers` and `scenarios::streams`.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

use crate::client::STALL;

/// Longest line and largest bulk string accepted from the server.
const LONGEST: usize = 1 << 20;

/// A reply.
#[derive(Debug)]
pub(crate) enum Value {
    Nil,
    Integer,
    Text(Vec<u8>),
    Array(Vec<Value>),
}

impl Value {
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Result<&[u8]> {
        match self {
            Self::Text(text) => Ok(text),
            other => bail!("expected a string from Redis, came {other:?}"),
        }
    }
}

/// A connection.
pub(crate) struct Redis {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Redis {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, STALL)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL))?;
        stream.set_write_timeout(Some(STALL))?;
        Ok(Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            out: Vec::new(),
        })
    }

    pub(crate) fn ping(&mut self) -> Result<()> {
        self.call(&[b"PING"]).map(drop)
    }

    /// Sends one command and waits for its reply.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> Result<Value> {
        self.queue(words);
        self.flush()?;
        self.reply()
    }

    /// Adds a command to the next [`Redis::flush`].
    pub(crate) fn queue(&mut self, words: &[&[u8]]) {
        self.out
            .extend(format!("*{}\r\n", words.len()).into_bytes());
        for word in words {
            self.out.extend(format!("${}\r\n", word.len()).into_bytes());
            self.out.extend_from_slice(word);
            self.out.extend(b"\r\n");
        }
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.stream
            .get_mut()
            .write_all(&self.out)
            .context("writing to Redis")?;
        self.out.clear();
        Ok(())
    }

    /// The next reply in order; an error reply is an error.
    pub(crate) fn reply(&mut self) -> Result<Value> {
        let line = self.line()?;
        let (kind, rest) = line
            .split_at_checked(1)
            .context("expected a reply, Redis sent an empty line")?;
        match kind {
            "+" => Ok(Value::Text(rest.as_bytes().to_vec())),
            ":" => Ok(Value::Integer),
            "-" => bail!("Redis refused: {rest}"),
            "$" | "*" if rest == "-1" => Ok(Value::Nil),
            "$" => self.bulk(rest.parse()?),
            "*" => (0..rest.parse::<usize>()?)
                .map(|_| self.reply())
                .collect::<Result<_>>()
                .map(Value::Array),
            _ => bail!("expected a RESP2 reply, Redis sent {line:?}"),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = (&mut self.stream).take(LONGEST as u64).read_line(&mut line);
        match read {
            Ok(0) => bail!("Redis closed the connection"),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!(
                    "expected a reply, Redis sent nothing for {} s",
                    STALL.as_secs()
                )
            }
            Err(error) => Err(error).context("reading from Redis"),
        }
    }

    fn bulk(&mut self, length: usize) -> Result<Value> {
        if length > LONGEST {
            bail!("expected a string of at most {LONGEST} bytes, Redis announced {length}");
        }
        let mut text = vec![0; length + 2];
        self.stream
            .read_exact(&mut text)
            .context("reading from Redis")?;
        text.truncate(length);
        Ok(Value::Text(text))
    }
}
