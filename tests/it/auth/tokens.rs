//! JSON Web Tokens in the password field.

use super::*;
