//! Tangent maps: a step's Jacobian times a matrix of columns, computed from the states before and
//! after the step. The Jacobian is never formed; that of an adaptive network would have (H (1 +
//! S))^2 elements.

use rheo_model::config::NetworkKind;
use tch::{Kind, Result, TchError, Tensor};

use crate::network::{LayerState, LayerStep, Network};

/// A step with the state before it.
pub(super) struct TangentStep {
    /// State before the step.
    pub(super) before: LayerState,
    /// External input of gated neurons, [B, ..].
    pub(super) external: Option<Tensor>,
    pub(super) step: LayerStep,
}

/// Tangent map of a kind of network.
pub(super) enum TangentMap {
    /// dh' = phi'(a) w_hh dh.
    Neurons { w_hh: Tensor },
    /// Neurons and controllers together.
    Joint(Box<JointTangent>),
    /// Neurons with stacked gates f, i, o and g, with weights w_h [4 H, H].
    Lstm { w_h: Tensor },
    /// Neurons with stacked gates r, z and c, with weights w_h [3 H, H] and biases b_h [3 H].
    Gru { w_h: Tensor, b_h: Tensor },
}

/// Weights of the joint tangent map, in double precision.
pub(super) struct JointTangent {
    /// [H, H].
    w_hh: Tensor,
    /// [S, 1].
    u_ag: Tensor,
    /// [S, S].
    w_gg: Tensor,
    /// [1, S].
    w_gn: Tensor,
    /// [1, S].
    w_gs: Tensor,
}

impl TangentMap {
    /// Returns the tangent map of `network`, for its whole state or for h only.
    pub(super) fn new(network: &Network, follows_all: bool) -> Result<Self> {
        let gates = || -> Result<Tensor> {
            let hidden = i64::from(network.hidden());
            let of_state = |matrix: &Tensor| double(&matrix.f_narrow(1, 0, hidden)?);
            let parts = network.recurrent().into_iter().map(|matrix| of_state(matrix.tensor));
            Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 0)
        };
        Ok(match network.kind() {
            NetworkKind::Lstm => Self::Lstm { w_h: gates()? },
            NetworkKind::Gru => {
                let biases = ["b_hr", "b_hz", "b_hn"].map(|name| weights(network, name));
                let biases = biases.into_iter().collect::<Result<Vec<_>>>()?;
                Self::Gru { w_h: gates()?, b_h: Tensor::f_cat(&biases, 0)? }
            }
            NetworkKind::Adaptive if follows_all => {
                Self::Joint(Box::new(JointTangent::new(network)?))
            }
            _ => Self::Neurons { w_hh: weights(network, "w_hh")? },
        })
    }

    /// Whether the map needs the external input.
    pub(super) fn wants_external(&self) -> bool {
        matches!(self, Self::Lstm { .. } | Self::Gru { .. })
    }

    /// Pushes `columns` [B, D, k] through a step.
    pub(super) fn push(
        &self,
        network: &Network,
        tangent_step: &TangentStep,
        columns: &Tensor,
    ) -> Result<Tensor> {
        let step = &tangent_step.step;
        let slopes = || network.slopes(step)?.ok_or_else(missing);
        match self {
            Self::Neurons { w_hh } => {
                let x = double(&slopes()?.x)?.f_expand_as(&step.state.h)?.f_unsqueeze(2)?;
                w_hh.f_matmul(columns)?.f_mul(&x)
            }
            Self::Joint(joint) => {
                let slopes = slopes()?;
                let x = double(&slopes.x)?.f_expand_as(&step.state.h)?.f_unsqueeze(2)?;
                let shape = slopes.shape.ok_or_else(missing)?;
                let by_shape =
                    [double(&shape.n)?.f_unsqueeze(2)?, double(&shape.s)?.f_unsqueeze(2)?];
                let g = step.state.inner.as_ref().ok_or_else(missing)?;
                joint.push(columns, &x, &by_shape, &double(g)?)
            }
            Self::Lstm { w_h } => push_lstm(w_h, tangent_step, columns),
            Self::Gru { w_h, b_h } => push_gru(w_h, b_h, tangent_step, columns),
        }
    }
}

/// Pushes `columns` [B, 2 H, k], h first and then c, through a step of an LSTM:
///
/// ```text
/// df = f (1 - f) w_f dh, di and do likewise ;  dg = (1 - g^2) w_g dh
/// dc' = c df + f dc + g di + i dg ;  dh' = tanh(c') do + o (1 - tanh(c')^2) dc'
/// ```
#[expect(clippy::many_single_char_names, reason = "the names follow the literature")]
fn push_lstm(w_h: &Tensor, tangent_step: &TangentStep, columns: &Tensor) -> Result<Tensor> {
    let TangentStep { before, external, step } = tangent_step;
    let hidden = w_h.size2()?.1;
    let h = double(&before.h)?;
    let external = double(external.as_ref().ok_or_else(missing)?)?;
    let [f, i, o, g] = parts(&external.f_addmm(&h, &w_h.f_transpose(0, 1)?)?.f_unsqueeze(2)?)?;
    let (f, i, o, g) = (f.f_sigmoid()?, i.f_sigmoid()?, o.f_sigmoid()?, g.f_tanh()?);
    let inner =
        |state: &LayerState| double(state.inner.as_ref().ok_or_else(missing)?)?.f_unsqueeze(2);
    let (c, tanh_c) = (inner(before)?, inner(&step.state)?.f_tanh()?);
    let [df, di, d_o, dg] = parts(&w_h.f_matmul(&columns.f_narrow(1, 0, hidden)?)?)?;
    let dc = columns.f_narrow(1, hidden, hidden)?.f_mul(&f)?;
    let dc = dc.f_addcmul(&c.f_mul(&of_sigmoid(&f)?)?, &df)?;
    let dc = dc.f_addcmul(&g.f_mul(&of_sigmoid(&i)?)?, &di)?;
    let dc = dc.f_addcmul(&i.f_mul(&of_tanh(&g)?)?, &dg)?;
    let dh = d_o.f_mul(&tanh_c.f_mul(&of_sigmoid(&o)?)?)?;
    let dh = dh.f_addcmul(&o.f_mul(&of_tanh(&tanh_c)?)?, &dc)?;
    Tensor::f_cat(&[dh, dc], 1)
}

/// Pushes `columns` [B, H, k] through a step of a GRU, whose candidate receives r (w_c h + b_c):
///
/// ```text
/// dr = r (1 - r) w_r dh, dz likewise ;  dc = (1 - c^2) (r w_c dh + (w_c h + b_c) dr)
/// dh' = (1 - z) dc + z dh + (h - c) dz
/// ```
fn push_gru(
    w_h: &Tensor,
    b_h: &Tensor,
    tangent_step: &TangentStep,
    columns: &Tensor,
) -> Result<Tensor> {
    let h = double(&tangent_step.before.h)?;
    let external = double(tangent_step.external.as_ref().ok_or_else(missing)?)?.f_unsqueeze(2)?;
    let [r, z, c] = parts(&external)?;
    let own = b_h.f_addmm(&h, &w_h.f_transpose(0, 1)?)?.f_unsqueeze(2)?;
    let [own_r, own_z, own] = parts(&own)?;
    let (r, z) = (r.f_add(&own_r)?.f_sigmoid()?, z.f_add(&own_z)?.f_sigmoid()?);
    let c = c.f_addcmul(&r, &own)?.f_tanh()?;
    let [dr, dz, dc] = parts(&w_h.f_matmul(columns)?)?;
    let dr = dr.f_mul(&of_sigmoid(&r)?)?;
    let dz = dz.f_mul(&of_sigmoid(&z)?)?;
    let dc = dc.f_mul(&r)?.f_addcmul(&own, &dr)?.f_mul(&of_tanh(&c)?)?;
    let dh = dc.f_addcmul(&z, &columns.f_sub(&dc)?)?;
    dh.f_addcmul(&h.f_unsqueeze(2)?.f_sub(&c)?, &dz)
}

/// Splits values [B, N H, ..] into N gates [B, H, ..].
fn parts<const N: usize>(all: &Tensor) -> Result<[Tensor; N]> {
    let parts = all.f_chunk(crate::tensor::length(N)?, 1)?;
    parts.try_into().map_err(|_| missing())
}

/// Returns sigma'(x) from y = sigma(x).
fn of_sigmoid(y: &Tensor) -> Result<Tensor> {
    y.f_mul(&y.f_rsub_scalar(1.0)?)
}

/// Returns tanh'(x) from y = tanh(x).
fn of_tanh(y: &Tensor) -> Result<Tensor> {
    y.f_square()?.f_rsub_scalar(1.0)
}

impl JointTangent {
    fn new(network: &Network) -> Result<Self> {
        Ok(Self {
            w_hh: weights(network, "w_hh")?,
            u_ag: weights(network, "u_ag")?,
            w_gg: weights(network, "w_gg")?,
            w_gn: weights(network, "w_gn")?,
            w_gs: weights(network, "w_gs")?,
        })
    }

    /// Pushes `columns` [B, H (1 + S), k], h first and then g neuron by neuron, through a step with
    /// slopes gamma_x, gamma_n and gamma_s, all [B, H, 1], that led to the controller states `g` [B
    /// H, S]:
    ///
    /// ```text
    /// da = w_hh dh ;  dg_i' = (1 - g_i^2) (u_ag da_i + w_gg dg_i)
    /// dh_i' = gamma_x da_i + gamma_n (w_gn . dg_i') + gamma_s (w_gs . dg_i')
    /// ```
    fn push(&self, columns: &Tensor, x: &Tensor, by: &[Tensor; 2], g: &Tensor) -> Result<Tensor> {
        let (batch, dimension, count) = columns.size3()?;
        let (hidden, units) = (self.w_hh.size2()?.0, self.w_gg.size2()?.0);
        let dh = columns.f_narrow(1, 0, hidden)?;
        let dg = columns.f_narrow(1, hidden, dimension - hidden)?;
        let dg = dg.f_reshape([batch, hidden, units, count])?;
        let da = self.w_hh.f_matmul(&dh)?;
        let bend = g.f_square()?.f_rsub_scalar(1.0)?.f_reshape([batch, hidden, units, 1])?;
        let received = self.u_ag.f_mul(&da.f_unsqueeze(2)?)?;
        let dg = self.w_gg.f_matmul(&dg)?.f_add(&received)?.f_mul(&bend)?;
        let dn = self.w_gn.f_matmul(&dg)?.f_squeeze_dim(2)?;
        let ds = self.w_gs.f_matmul(&dg)?.f_squeeze_dim(2)?;
        let dh = da.f_mul(x)?.f_addcmul(&by[0], &dn)?.f_addcmul(&by[1], &ds)?;
        Tensor::f_cat(&[dh, dg.f_reshape([batch, hidden * units, count])?], 1)
    }
}

/// Returns a parameter in double precision.
fn weights(network: &Network, name: &str) -> Result<Tensor> {
    let parameter = network.parameter(name);
    double(parameter.ok_or_else(|| TchError::Shape(format!("no parameter `{name}`")))?)
}

fn double(tensor: &Tensor) -> Result<Tensor> {
    tensor.f_detach()?.f_to_dtype(Kind::Double, false, false)
}

fn missing() -> TchError {
    TchError::Shape("a step lacks its shape or inner state".to_owned())
}
